/** Reads a retailer's file: the columns of the Online Retail data set, in any order, in UTF-8, more columns allowed. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import type { FileLine } from './read-line.ts';

const columns = [
  'InvoiceNo',
  'StockCode',
  'Description',
  'Quantity',
  'InvoiceDate',
  'UnitPrice',
  'CustomerID',
  'Country',
] as const;

interface Parsed {
  record: Record<string, string | undefined>;
  info: { lines: number; error?: unknown };
}

/**
 * All lines of the file except blank ones. A line with too few or too many values is included, with its `problem`.
 * Throws if the file does not exist, is not CSV (with the line's number), is empty, or lacks columns (with their
 * names).
 */
export async function readFile(path: string): Promise<FileLine[]> {
  let heading: string[] | undefined;
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    columns(names: string[]) {
      heading = names.map((name) => name.trim());
      const missing = columns.filter((column) => !heading!.includes(column));
      if (missing.length === 0) return heading;
      throw new Error(`${path} has no column ${missing.join(', ')}; it has ${heading.join(', ')}`);
    },
  });
  const lines: FileLine[] = [];
  try {
    await pipeline(createReadStream(path), parser, async (records: AsyncIterable<Parsed>) => {
      for await (const parsed of records) lines.push(lineOf(parsed));
    });
  } catch (error) {
    if (error instanceof CsvError) throw new Error(`${path} is not valid CSV: ${error.message}`, { cause: error });
    throw error;
  }
  if (!heading) throw new Error(`${path} is empty: it lacks even the heading ${columns.join(',')}`);
  return lines;
}

function lineOf({ record, info }: Parsed): FileLine {
  const values = Object.fromEntries(columns.map((column) => [column, record[column] ?? '']));
  return {
    ...(values as Record<(typeof columns)[number], string>),
    number: info.lines,
    ...(info.error !== undefined && { problem: 'Has more or fewer values than the heading has columns' }),
  };
}
