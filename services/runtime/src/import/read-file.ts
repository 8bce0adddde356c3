/** Reads a retailer's file: the columns of the Online Retail data set, in any order, in UTF-8. */
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';
import type { FileLine } from './plan.ts';

const columns = [
  'InvoiceNo',
  'StockCode',
  'Description',
  'Quantity',
  'InvoiceDate',
  'UnitPrice',
  'CustomerID',
  'Country',
];

/** All lines of the file. Throws with the line's number where it is no CSV, and with the names of missing columns. */
export async function readFile(path: string): Promise<FileLine[]> {
  const parser = createReadStream(path).pipe(
    parse({
      bom: true,
      info: true,
      columns(heading: string[]) {
        const missing = columns.filter((column) => !heading.includes(column));
        if (missing.length > 0)
          throw new Error(`${path} has no column ${missing.join(', ')}; it has ${heading.join(', ')}`);
        return heading;
      },
    }),
  );
  const lines: FileLine[] = [];
  for await (const { record, info } of parser) lines.push({ ...record, number: info.lines });
  return lines;
}
