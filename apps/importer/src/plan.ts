/**
 * From the lines of a retailer's file to what is done with each. Pure, and complete: every line ends up in exactly one
 * of the plan's lists, so that nothing is lost silently. docs/import.md says why each oddity is read as it is.
 */
import { createHash } from 'node:crypto';
import { fromMinorUnits } from './decimal.ts';
import { amountOf, type FileLine, GUEST, isCancellation, isCorrection, type ReadLine, readLine } from './read-line.ts';

/** All amounts of a file are of one currency, that of the retailer. */
export const CURRENCY = 'GBP';

export interface PlannedLine {
  /** Lines of the file that it stands for: several if a product stands twice in an invoice at one price. */
  numbers: number[];
  productId: string;
  quantity: bigint;
  /** Minor units. */
  unitPrice: bigint;
}

export interface PlannedOrder {
  /** The invoice, with a number behind it if it had to be split. No two orders of a plan share it. */
  reference: string;
  customerId: string;
  country: string;
  /** Orders are placed in this order. */
  date: string;
  lines: PlannedLine[];
  /** Minor units. */
  total: bigint;
  payment: 'wallet' | 'card';
  /**
   * 'deliver': to the end. 'cancel': taken back before it leaves, to see that done. 'return': the file has its
   * cancellation and its purchase, which are this order, taken back. 'refund': the file has the cancellation only: it is
   * bought, then taken back.
   */
  fate: 'deliver' | 'cancel' | 'return' | 'refund';
}

/** A count that differed: pieces found or lost. */
export interface Correction {
  number: number;
  productId: string;
  delta: bigint;
  reason: string;
  date: string;
}

export interface RejectedLine {
  number: number;
  why: string;
  /** Quantity x price in millionths, as far as it could be read. */
  amount: bigint;
  country: string;
}

export interface PlannedProduct {
  title: string;
  /** The first price that the file sells it at, in minor units; 0 if it sells none. */
  price: bigint;
  openingStock: bigint;
}

export interface Plan {
  /** Names the import: follows from the lines, so that the same file gives the same. */
  id: string;
  orders: PlannedOrder[];
  corrections: Correction[];
  rejected: RejectedLine[];
  products: Map<string, PlannedProduct>;
  /** `walletDeposit`: what the orders that are paid by wallet come to, in minor units. */
  customers: Map<string, { country: string; walletDeposit: bigint }>;
  /** Straight from the file, in millionths. */
  file: { lines: number; total: bigint; byCountry: Map<string, bigint> };
}

/** A line of an invoice as it is bought or taken back. */
interface Sale extends Omit<ReadLine, 'number'> {
  numbers: number[];
  /** Of a cancellation: whether its purchase is in the file. */
  purchased: boolean;
}

const EVERY_NTH_CANCELLED = 10;
/** Opening stock is what the file sells less this share, rounded in favour of the stock. */
const MISSING_STOCK_PERCENT = 5n;
/** What the contract allows in one order. */
const MOST_LINES = 1000;

/** Plans the import of a file's lines. */
export function plan(lines: FileLine[]): Plan {
  const file = { lines: lines.length, total: 0n, byCountry: new Map<string, bigint>() };
  const rejected: RejectedLine[] = [];
  const corrections: Correction[] = [];
  const sales: Sale[] = [];
  const titles = new Map<string, string>();
  const hash = createHash('sha256');

  for (const line of lines) {
    hash.update(JSON.stringify(Object.values(line)));
    const amount = amountOf(line);
    file.total += amount;
    const country = line.Country.trim();
    file.byCountry.set(country, (file.byCountry.get(country) ?? 0n) + amount);
    const read = readLine(line);
    if (typeof read === 'string') {
      rejected.push({ number: line.number, why: read, amount, country });
      continue;
    }
    if (isCorrection(read)) {
      corrections.push(correctionOf(read));
      continue;
    }
    sales.push(saleOf(read));
    if (read.unitPrice > 0n || !titles.has(read.productId)) titles.set(read.productId, read.title);
  }
  const orders = ordersOf(takeReturnsOut(sales));
  return {
    id: `import-${hash.digest('hex').slice(0, 8)}`,
    orders,
    corrections,
    rejected,
    products: productsOf(orders, corrections, titles),
    customers: customersOf(orders),
    file,
  };
}

function saleOf({ number, ...line }: ReadLine): Sale {
  return { ...line, numbers: [number], purchased: false };
}

function correctionOf({ number, productId, quantity, title, date }: ReadLine): Correction {
  return { number, productId, delta: quantity, reason: title, date };
}

/**
 * Cancelled pieces that the same customer bought before, at the same price, are taken out of that purchase: they become
 * an order of their own under the cancellation's number, so that it can be taken back in full. Who a guest was is not
 * known, so that guests' cancellations have no purchase.
 */
function takeReturnsOut(sales: Sale[]): Sale[] {
  const key = ({ customerId, country, productId, unitPrice }: Sale) =>
    JSON.stringify([customerId, country, productId, String(unitPrice)]);
  const purchases = sales.filter(({ quantity }) => quantity > 0n).map((line) => ({ ...line }));
  const byBuyer = Map.groupBy(purchases, key);
  const returns = sales
    .filter(({ quantity }) => quantity < 0n)
    .map((line) => {
      const candidates = line.customerId === GUEST ? [] : (byBuyer.get(key(line)) ?? []);
      const purchase = candidates.find((other) => other.date <= line.date && other.quantity >= -line.quantity);
      if (!purchase) return line;
      purchase.quantity += line.quantity;
      // A purchase that is taken back whole stands for nothing else any more.
      const numbers = purchase.quantity === 0n ? [...purchase.numbers, ...line.numbers] : line.numbers;
      return { ...line, numbers, purchased: true };
    });
  return [...purchases.filter(({ quantity }) => quantity > 0n), ...returns];
}

function ordersOf(sales: Sale[]): PlannedOrder[] {
  const drafts: { order: Omit<PlannedOrder, 'payment' | 'fate'>; cancels: boolean; purchased: boolean }[] = [];
  for (const [invoice, lines] of Map.groupBy(sales, (sale) => sale.invoice)) {
    split(lines).forEach((part, index) => {
      const reference = index === 0 ? invoice : `${invoice}-${index + 1}`;
      const { customerId, country, date, purchased } = part[0]!;
      const planned = mergeProducts(part);
      const total = planned.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0n);
      const order = { reference, customerId, country, date, lines: planned, total };
      drafts.push({ order, cancels: isCancellation({ invoice }), purchased });
    });
  }
  drafts.sort(({ order: a }, { order: b }) => byDate(a, b) || (a.reference < b.reference ? -1 : 1));
  let sale = 0;
  return drafts.map(({ order, cancels, purchased }, index) => {
    const byCard = order.customerId === GUEST || order.total === 0n || index % 2 === 1;
    const payment = byCard ? 'card' : 'wallet';
    if (cancels) return { ...order, payment, fate: purchased ? 'return' : 'refund' };
    sale++;
    return { ...order, payment, fate: sale % EVERY_NTH_CANCELLED === 0 ? 'cancel' : 'deliver' };
  });
}

/** Sorts what has a date by it. */
export function byDate(a: { date: string }, b: { date: string }): number {
  return a.date < b.date ? -1 : a.date > b.date ? 1 : 0;
}

/** An order has one price a product, one buyer, one fate and so many lines: the rest goes into orders behind the first. */
function split(lines: Sale[]): Sale[][] {
  const parts: { prices: Map<string, bigint>; kind: string; lines: Sale[] }[] = [];
  for (const line of lines) {
    const { productId, unitPrice, customerId, country, purchased } = line;
    const kind = JSON.stringify([customerId, country, purchased]);
    const part = parts.find(
      ({ prices, kind: other }) =>
        other === kind &&
        (prices.get(productId) ?? unitPrice) === unitPrice &&
        (prices.has(productId) || prices.size < MOST_LINES),
    );
    if (part) {
      part.prices.set(productId, unitPrice);
      part.lines.push(line);
    } else parts.push({ prices: new Map([[productId, unitPrice]]), kind, lines: [line] });
  }
  return parts.map((part) => part.lines);
}

function mergeProducts(lines: Sale[]): PlannedLine[] {
  const byProduct = new Map<string, PlannedLine>();
  for (const { numbers, productId, quantity, unitPrice } of lines) {
    const pieces = quantity < 0n ? -quantity : quantity;
    const line = byProduct.get(productId);
    if (line) {
      line.numbers.push(...numbers);
      line.quantity += pieces;
    } else byProduct.set(productId, { numbers: [...numbers], productId, quantity: pieces, unitPrice });
  }
  return [...byProduct.values()];
}

function productsOf(orders: PlannedOrder[], corrections: Correction[], titles: Map<string, string>): Plan['products'] {
  const products: Plan['products'] = new Map();
  // Where nothing is sold the file has a remark instead of a title: "check", "damages".
  const touch = (productId: string, price: bigint) => {
    const product = products.get(productId) ?? { title: titles.get(productId) ?? productId, price, openingStock: 0n };
    products.set(productId, product);
    return product;
  };
  for (const { lines } of orders) {
    for (const { productId, quantity, unitPrice } of lines) touch(productId, unitPrice).openingStock += quantity;
  }
  for (const { productId } of corrections) touch(productId, 0n);
  for (const product of products.values()) {
    product.openingStock -= (product.openingStock * MISSING_STOCK_PERCENT) / 100n;
  }
  return products;
}

function customersOf(orders: PlannedOrder[]): Plan['customers'] {
  const customers: Plan['customers'] = new Map();
  for (const { customerId, country, payment, total } of orders) {
    const customer = customers.get(customerId) ?? { country, walletDeposit: 0n };
    if (payment === 'wallet') customer.walletDeposit += total;
    customers.set(customerId, customer);
  }
  return customers;
}

/** What an order of this total comes to in the file's own sums: a purchase and its return are nothing. Millionths. */
export function fileAmount({ total, fate }: Pick<PlannedOrder, 'total' | 'fate'>): bigint {
  if (fate === 'return') return 0n;
  return fromMinorUnits(fate === 'refund' ? -total : total);
}
