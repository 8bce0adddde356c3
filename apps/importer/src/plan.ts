/**
 * Plans what is done with each line of a retailer's file. Pure, and complete: every line is in exactly one of the
 * plan's lists, so no line is lost silently. docs/import.md explains the treatment of each oddity.
 */
import { createHash } from 'node:crypto';
import { fromMinorUnits } from './decimal.ts';
import { amountOf, type FileLine, GUEST, isCancellation, isCorrection, type ReadLine, readLine } from './read-line.ts';

/** The retailer's currency: all amounts of a file are in it. */
export const CURRENCY = 'GBP';

export interface PlannedLine {
  /** The lines of the file that it represents: several if an invoice has a product twice at one price. */
  numbers: number[];
  productId: string;
  quantity: bigint;
  /** Minor units. */
  unitPrice: bigint;
}

export interface PlannedOrder {
  /** The invoice, with a number appended if it had to be split. Unique within a plan. */
  reference: string;
  customerId: string;
  country: string;
  /** Orders are placed in the order of their dates. */
  date: string;
  lines: PlannedLine[];
  /** Minor units. */
  total: bigint;
  payment: 'wallet' | 'card';
  /**
   * 'deliver': delivered. 'cancel': cancelled before it leaves, to exercise cancellations. 'return': the file has the
   * cancellation and its purchase; this order is both, placed and cancelled. 'refund': the file has only the
   * cancellation; the order is placed, then cancelled.
   */
  fate: 'deliver' | 'cancel' | 'return' | 'refund';
}

/** A correction of the stock: pieces found or lost. */
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
  /** Quantity x price in millionths; 0 if they could not be read. */
  amount: bigint;
  country: string;
}

export interface PlannedProduct {
  title: string;
  /** Its first price in the file, in minor units; 0 if the file sells none. */
  price: bigint;
  openingStock: bigint;
}

export interface Plan {
  /** The import's id. It follows from the lines, so the same file has the same id. */
  id: string;
  orders: PlannedOrder[];
  corrections: Correction[];
  rejected: RejectedLine[];
  products: Map<string, PlannedProduct>;
  /** `walletDeposit`: total of the customer's orders that are paid by wallet, in minor units. */
  customers: Map<string, { country: string; walletDeposit: bigint }>;
  /** Sums taken directly from the file, in millionths. */
  file: { lines: number; total: bigint; byCountry: Map<string, bigint> };
}

/** A line of an invoice that is bought or cancelled. */
interface Sale extends Omit<ReadLine, 'number'> {
  numbers: number[];
  /** For a cancellation: whether its purchase is in the file. */
  purchased: boolean;
}

const EVERY_NTH_CANCELLED = 10;
/** The opening stock is this share less than the file sells; the missing pieces are rounded down. */
const MISSING_STOCK_PERCENT = 5n;
/** The contract's bound on lines of one order. */
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
 * Takes cancelled pieces out of an earlier purchase of the same customer at the same price. They become an order of
 * their own under the cancellation's number, which can be cancelled as a whole. Guests are not identified, so their
 * cancellations have no purchase.
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
      // If all pieces of a purchase are cancelled, its lines belong to this order.
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

/** Compares by date, for sorting. */
export function byDate(a: { date: string }, b: { date: string }): number {
  return a.date < b.date ? -1 : a.date > b.date ? 1 : 0;
}

/**
 * An order has one price per product, one buyer, one fate and at most MOST_LINES lines: further lines go into more
 * orders.
 */
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
  // A product that is never sold has remarks instead of titles in the file: "check", "damages".
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

/** An order's amount in the sums of the file, in millionths: 0 for a purchase and its return together. */
export function fileAmount({ total, fate }: Pick<PlannedOrder, 'total' | 'fate'>): bigint {
  if (fate === 'return') return 0n;
  return fromMinorUnits(fate === 'refund' ? -total : total);
}
