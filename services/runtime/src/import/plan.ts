/**
 * From the lines of a retailer's file to what is done with each. Pure, and complete: every line ends up in exactly one
 * of the plan's lists, so that nothing is lost silently. docs/import.md says why each oddity is read as it is.
 */
import { fromMinorUnits, parseDecimal, toMinorUnits } from './decimal.ts';

/** A line as it stands in the file. `number`: its line there; the first after the heading is 2. */
export interface FileLine {
  number: number;
  InvoiceNo: string;
  StockCode: string;
  Description: string;
  Quantity: string;
  InvoiceDate: string;
  UnitPrice: string;
  CustomerID: string;
  Country: string;
}

export interface PlannedLine {
  /** Lines of the file that it stands for: several if a product stands twice in an invoice at one price. */
  numbers: number[];
  productId: string;
  quantity: bigint;
  /** Minor units. */
  unitPrice: bigint;
}

export interface PlannedOrder {
  orderId: string;
  /** The invoice, with a number behind it if it had to be split. */
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

export interface Plan {
  orders: PlannedOrder[];
  corrections: Correction[];
  rejected: RejectedLine[];
  products: Map<string, { title: string; price: bigint; openingStock: bigint }>;
  customers: Map<string, { country: string; walletDeposit: bigint }>;
  /** Straight from the file, in millionths. */
  file: { lines: number; total: bigint; byCountry: Map<string, bigint> };
}

interface ReadLine {
  /** The lines of the file that it stands for. */
  numbers: number[];
  invoice: string;
  productId: string;
  title: string;
  quantity: bigint;
  /** Minor units. */
  unitPrice: bigint;
  customerId: string;
  country: string;
  date: string;
  /** Of a cancellation: whether its purchase is in the file. */
  purchased: boolean;
}

const GUEST = 'guest';
const EVERY_NTH_CANCELLED = 10;
/** Opening stock is what the file sells less this share, rounded in favour of the stock. */
const MISSING_STOCK_PERCENT = 5n;

/** Plans the import of a file's lines. */
export function plan(lines: FileLine[]): Plan {
  const file = { lines: lines.length, total: 0n, byCountry: new Map<string, bigint>() };
  const rejected: RejectedLine[] = [];
  const corrections: Correction[] = [];
  const sales: ReadLine[] = [];
  const titles = new Map<string, string>();

  for (const line of lines) {
    const amount = amountOf(line);
    file.total += amount;
    const country = line.Country.trim();
    file.byCountry.set(country, (file.byCountry.get(country) ?? 0n) + amount);
    const read = readLine(line);
    if (typeof read === 'string') rejected.push({ number: line.number, why: read, amount, country });
    else if (isCorrection(read)) corrections.push(correctionOf(read));
    else sales.push(read);
    if (typeof read !== 'string' && (read.unitPrice > 0n || !titles.has(read.productId))) {
      titles.set(read.productId, read.title);
    }
  }
  const orders = ordersOf(takeReturnsOut(sales));
  return {
    orders,
    corrections,
    rejected,
    products: productsOf(orders, corrections, titles),
    customers: customersOf(orders),
    file,
  };
}

function amountOf({ Quantity, UnitPrice }: FileLine): bigint {
  const price = parseDecimal(UnitPrice);
  return price !== undefined && /^-?\d+$/.test(Quantity) ? BigInt(Quantity) * price : 0n;
}

/** What a line says, or why it can't be imported. */
function readLine(line: FileLine): ReadLine | string {
  const invoice = line.InvoiceNo.trim();
  const country = line.Country.trim();
  const productId = line.StockCode.trim().replace(/\s+/g, '-');
  if (!/^[A-Za-z0-9]{1,40}$/.test(invoice)) return `InvoiceNo "${invoice}" is not a number of letters and digits`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(productId))
    return `StockCode "${line.StockCode}" can't be a product's id`;
  if (!/^-?\d{1,9}$/.test(line.Quantity.trim())) return `Quantity "${line.Quantity}" is not a whole number`;
  if (!/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/.test(line.InvoiceDate))
    return `InvoiceDate "${line.InvoiceDate}" is no date`;
  if (country === '') return 'Country is empty';
  const quantity = BigInt(line.Quantity.trim());
  const price = parseDecimal(line.UnitPrice);
  if (price === undefined || price < 0n) return `UnitPrice "${line.UnitPrice}" is not an amount`;
  const unitPrice = toMinorUnits(price);
  if (unitPrice === undefined) return `UnitPrice ${line.UnitPrice} is a fraction of a penny, which money can't be`;
  if (quantity === 0n) return 'Quantity is zero';
  const cancels = invoice.startsWith('C');
  if (!/^C?\d/.test(invoice)) return `Invoice ${invoice} is an accounting entry, not a sale`;
  if (cancels !== quantity < 0n && unitPrice > 0n) {
    return cancels ? 'A cancellation of a positive quantity' : 'A negative quantity that is no cancellation';
  }
  const customer = line.CustomerID.trim().replace(/\.0$/, '');
  const customerId = customer === '' || customer === '0' ? GUEST : customer;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(customerId)) return `CustomerID "${customer}" can't be a customer's id`;
  const title = line.Description.trim().slice(0, 200) || productId;
  return {
    numbers: [line.number],
    invoice,
    productId,
    title,
    quantity,
    unitPrice,
    customerId,
    country,
    date: line.InvoiceDate,
    purchased: false,
  };
}

/** Without a price there is no sale: negative, it was lost or broken; positive and nobody's, it was found. */
function isCorrection({ unitPrice, quantity, customerId }: ReadLine): boolean {
  return unitPrice === 0n && (quantity < 0n || customerId === GUEST);
}

function correctionOf({ numbers, productId, quantity, title, date }: ReadLine): Correction {
  return { number: numbers[0]!, productId, delta: quantity, reason: title, date };
}

/**
 * Cancelled pieces that the same customer bought before, at the same price, are taken out of that purchase: they become
 * an order of their own under the cancellation's number, so that it can be taken back in full.
 */
function takeReturnsOut(sales: ReadLine[]): ReadLine[] {
  const key = ({ customerId, productId, unitPrice }: ReadLine) => `${customerId}/${productId}/${unitPrice}`;
  const purchases = Map.groupBy(
    sales.filter(({ quantity }) => quantity > 0n).map((line) => ({ ...line })),
    key,
  );
  const returns = sales
    .filter(({ quantity }) => quantity < 0n)
    .map((line) => {
      const purchase = purchases
        .get(key(line))
        ?.find((other) => other.date <= line.date && other.quantity >= -line.quantity);
      if (!purchase) return line;
      purchase.quantity += line.quantity;
      // A purchase that is taken back whole stands for nothing else any more.
      const numbers = purchase.quantity === 0n ? [...purchase.numbers, ...line.numbers] : line.numbers;
      return { ...line, numbers, purchased: true };
    });
  return [...[...purchases.values()].flat().filter(({ quantity }) => quantity > 0n), ...returns];
}

function ordersOf(sales: ReadLine[]): PlannedOrder[] {
  const invoices = Map.groupBy(sales, ({ invoice }) => invoice);
  const drafts: (Omit<PlannedOrder, 'payment' | 'fate'> & { purchased: boolean })[] = [];
  for (const [invoice, lines] of invoices) {
    splitByPrice(lines).forEach((part, index) => {
      const reference = index === 0 ? invoice : `${invoice}-${index + 1}`;
      const { customerId, country, date, purchased } = part[0]!;
      const planned = mergeProducts(part);
      const total = planned.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0n);
      drafts.push({
        orderId: `import-${reference}`,
        reference,
        customerId,
        country,
        date,
        lines: planned,
        total,
        purchased,
      });
    });
  }
  drafts.sort((a, b) => (a.date === b.date ? (a.reference < b.reference ? -1 : 1) : a.date < b.date ? -1 : 1));
  let sale = 0;
  return drafts.map(({ purchased, ...draft }, index) => {
    const payment = draft.customerId === GUEST || index % 2 === 1 ? 'card' : 'wallet';
    if (draft.reference.startsWith('C')) return { ...draft, payment, fate: purchased ? 'return' : 'refund' };
    sale++;
    return { ...draft, payment, fate: sale % EVERY_NTH_CANCELLED === 0 ? 'cancel' : 'deliver' };
  });
}

/** An order has one price a product, one buyer and one fate: what differs goes into orders behind the first. */
function splitByPrice(lines: ReadLine[]): ReadLine[][] {
  const parts: { price: Map<string, bigint>; kind: string; lines: ReadLine[] }[] = [];
  for (const line of lines) {
    const kind = `${line.customerId}/${line.country}/${line.purchased}`;
    const part = parts.find(
      ({ price, kind: other }) => other === kind && (price.get(line.productId) ?? line.unitPrice) === line.unitPrice,
    );
    if (part) {
      part.price.set(line.productId, line.unitPrice);
      part.lines.push(line);
    } else parts.push({ price: new Map([[line.productId, line.unitPrice]]), kind, lines: [line] });
  }
  return parts.map((part) => part.lines);
}

function mergeProducts(lines: ReadLine[]): PlannedLine[] {
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
  const touch = (productId: string, price: bigint) => {
    const product = products.get(productId) ?? { title: titles.get(productId)!, price, openingStock: 0n };
    products.set(productId, product);
    return product;
  };
  for (const { lines } of orders) {
    for (const { productId, quantity, unitPrice } of lines) touch(productId, unitPrice).openingStock += quantity;
  }
  for (const { productId } of corrections) touch(productId, 0n);
  for (const product of products.values())
    product.openingStock -= (product.openingStock * MISSING_STOCK_PERCENT) / 100n;
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

/** What an order comes to in the file's own sums: a purchase and its return are nothing. Millionths. */
export function fileAmount({ total, fate }: PlannedOrder): bigint {
  if (fate === 'return') return 0n;
  return fromMinorUnits(fate === 'refund' ? -total : total);
}
