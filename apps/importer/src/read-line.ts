/** Reads a line of a retailer's file, or gives the reason why it can't be imported. Pure. */
import { parseDecimal, toMinorUnits } from './decimal.ts';

/** The raw values of a line. `number`: its line in the file; the first after the heading is 2. */
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
  /** Why the line does not match the table. */
  problem?: string;
}

export interface ReadLine {
  number: number;
  invoice: string;
  productId: string;
  title: string;
  /** Below zero in cancellations and for lost pieces. */
  quantity: bigint;
  /** Minor units. */
  unitPrice: bigint;
  customerId: string;
  country: string;
  /** `2010-12-01 08:26:00`: sorts by time. */
  date: string;
}

/** The customer of all lines without a customer's number. */
export const GUEST = 'guest';

/** Quantity x price in millionths; 0 if they can't be read. */
export function amountOf({ Quantity, UnitPrice, problem }: FileLine): bigint {
  const price = parseDecimal(UnitPrice);
  const quantity = Quantity.trim();
  return !problem && price !== undefined && /^-?\d+$/.test(quantity) ? BigInt(quantity) * price : 0n;
}

/** The line's content, or the reason why it can't be imported. */
export function readLine(line: FileLine): ReadLine | string {
  if (line.problem) return line.problem;
  const invoice = line.InvoiceNo.trim();
  const country = line.Country.trim();
  const productId = line.StockCode.trim().replace(/\s+/g, '-');
  // The contract's maximal lengths, less the length of the import's prefixes.
  if (!/^[A-Za-z0-9]{1,40}$/.test(invoice)) {
    return `InvoiceNo "${invoice}" is not a number of at most 40 letters and digits`;
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(productId)) {
    return `StockCode "${line.StockCode}" can't be a product's id`;
  }
  if (!/^-?\d{1,7}$/.test(line.Quantity.trim())) {
    return `Quantity "${line.Quantity}" is not a whole number of at most 7 digits`;
  }
  const date = readDate(line.InvoiceDate.trim());
  if (date === undefined) return `InvoiceDate "${line.InvoiceDate}" is not a date`;
  if (country === '') return 'Country is empty';
  if (country.length > 100) return 'Country is longer than 100 characters';
  const quantity = BigInt(line.Quantity.trim());
  const price = parseDecimal(line.UnitPrice);
  if (price === undefined || price < 0n || price >= 10n ** 15n) {
    return `UnitPrice "${line.UnitPrice}" is not an amount from 0 to a billion`;
  }
  const unitPrice = toMinorUnits(price);
  if (unitPrice === undefined)
    return `UnitPrice ${line.UnitPrice} is a fraction of a penny, which is not a valid amount`;
  if (quantity === 0n) return 'Quantity is zero';
  if (!/^C?\d/.test(invoice)) return `Invoice ${invoice} is an accounting entry, not a sale`;
  if (isCancellation({ invoice }) && quantity > 0n) return 'A cancellation of a positive quantity';
  if (!isCancellation({ invoice }) && quantity < 0n && unitPrice > 0n) {
    return 'A negative quantity that is not a cancellation';
  }
  const customer = line.CustomerID.trim().replace(/\.0$/, '');
  const customerId = customer === '' || customer === '0' ? GUEST : customer;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,56}$/.test(customerId)) {
    return `CustomerID "${line.CustomerID}" can't be a customer's id`;
  }
  const title = line.Description.trim().slice(0, 200) || productId;
  return { number: line.number, invoice, productId, title, quantity, unitPrice, customerId, country, date };
}

/** Whether the invoice cancels an earlier one. */
export function isCancellation({ invoice }: Pick<ReadLine, 'invoice'>): boolean {
  return invoice.startsWith('C');
}

/** A price of zero is no sale: a negative quantity was lost or broken, a positive one without a customer was found. */
export function isCorrection(line: ReadLine): boolean {
  return line.unitPrice === 0n && !isCancellation(line) && (line.quantity < 0n || line.customerId === GUEST);
}

/**
 * `2010-12-01 08:26:00`, or the format of spreadsheets, month first: `12/1/2010 8:26`. Undefined if it is not a date.
 */
function readDate(text: string): string | undefined {
  const [, year, month, day, time] = /^(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)$/.exec(text) ?? [];
  const [, sheetMonth, sheetDay, sheetYear, sheetTime] = /^(\d\d?)\/(\d\d?)\/(\d{4}) (\d\d?:\d\d)$/.exec(text) ?? [];
  const date = year
    ? `${year}-${month}-${day} ${time}`
    : sheetYear
      ? `${sheetYear}-${sheetMonth!.padStart(2, '0')}-${sheetDay!.padStart(2, '0')} ${sheetTime!.padStart(5, '0')}:00`
      : '';
  const instant = new Date(`${date.replace(' ', 'T')}Z`);
  // Date turns a day that is not in the calendar into an invalid date or into another day.
  if (Number.isNaN(instant.getTime())) return undefined;
  return instant.toISOString().slice(0, 19).replace('T', ' ') === date ? date : undefined;
}
