/** A small file with one line of each kind, and its plan, for tests. */
import { type Plan, plan } from '../plan.ts';
import { linesOf } from './lines.ts';

/**
 * 24 sales of four products, two of them at changing prices, to three customers and a guest in two countries; one order
 * of more pieces than the stock has; a return with its purchase and one without; pieces found, pieces lost, and lost
 * pieces that were never in stock; two lines that can't be imported.
 */
export function smallPlan(): Plan {
  const at = (minute: number) => `2010-12-01 08:${String(minute).padStart(2, '0')}:00`;
  const sales = Array.from({ length: 24 }, (_, index) => ({
    InvoiceNo: String(1000 + index),
    StockCode: `P${index % 4}`,
    Quantity: String(1 + (index % 3)),
    UnitPrice: index % 4 < 2 ? `${1 + (index % 5)}.25` : '2.00',
    CustomerID: index % 6 === 5 ? '0' : `${1 + (index % 3)}.0`,
    Country: index % 3 === 2 ? 'France' : 'United Kingdom',
    InvoiceDate: at(index),
  }));
  const also = sales.map((line, index) => ({ ...line, StockCode: `P${(index + 1) % 4}`, UnitPrice: '2.00' }));
  return plan(
    linesOf([
      ...sales,
      ...also,
      { InvoiceNo: '2000', StockCode: 'MANY', Quantity: '100', CustomerID: '1.0', InvoiceDate: at(30) },
      { InvoiceNo: '2001', StockCode: 'BACK', Quantity: '5', CustomerID: '2.0', InvoiceDate: at(31) },
      { InvoiceNo: 'C2001', StockCode: 'BACK', Quantity: '-2', CustomerID: '2.0', InvoiceDate: at(32) },
      {
        InvoiceNo: 'C2002',
        StockCode: 'D',
        Quantity: '-1',
        UnitPrice: '27.50',
        CustomerID: '3.0',
        InvoiceDate: at(33),
      },
      { InvoiceNo: '2003', StockCode: 'P0', Quantity: '2', UnitPrice: '0', CustomerID: '0', InvoiceDate: at(34) },
      { InvoiceNo: '2004', StockCode: 'P3', Quantity: '-1', UnitPrice: '0', CustomerID: '0', InvoiceDate: at(1) },
      { InvoiceNo: '2005', StockCode: 'LOST', Quantity: '-1', UnitPrice: '0', CustomerID: '0', InvoiceDate: at(2) },
      { InvoiceNo: '2006', StockCode: 'P0', UnitPrice: '0.001' },
      { InvoiceNo: 'A2007', StockCode: 'B', UnitPrice: '11062.06' },
    ]),
  );
}
