/** Lines of a retailer's file, for tests. */
import type { FileLine } from '../read-line.ts';

/** Lines numbered as in a file. Each needs only the values that differ from an ordinary line. */
export function linesOf(lines: Partial<FileLine>[]): FileLine[] {
  return lines.map((line, index) => ({
    number: index + 2,
    InvoiceNo: '536365',
    StockCode: '85123A',
    Description: 'WHITE HANGING HEART T-LIGHT HOLDER',
    Quantity: '6',
    InvoiceDate: '2010-12-01 08:26:00',
    UnitPrice: '2.55',
    CustomerID: '17850.0',
    Country: 'United Kingdom',
    ...line,
  }));
}
