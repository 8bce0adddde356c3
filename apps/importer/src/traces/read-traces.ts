/** Reads a file of traces, CSV or lines of JSON, as a stream: a file of any length takes little memory. */
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { readLines } from './read-lines.ts';
import {
  columns,
  type FieldProblem,
  type FileTrace,
  readTrace,
  type TraceDefaults,
  type Values,
} from './read-trace.ts';

export interface ReadTracesOptions extends TraceDefaults {
  chunks: AsyncIterable<Uint8Array>;
  format: 'csv' | 'ndjson';
  /** Called as the file is read, with the bytes so far: for a bar. */
  onProgress?: (bytes: number) => void;
}

/** A line's trace, or what is wrong with it. */
export type TraceLine = { line: number; trace: FileTrace } | ({ line: number } & FieldProblem);

const maxLineBytes = 65_536;

/**
 * Each line that is not empty, in the file's order. A wrong line does not hinder the others. Throws if the file can't be read on: it
 * is not CSV any more (with the line), or lacks columns that every trace needs.
 */
export async function* readTraces(options: ReadTracesOptions): AsyncGenerator<TraceLine> {
  const chunks = counted(options.chunks, options.onProgress);
  yield* options.format === 'csv' ? readCsv(chunks, options) : readJsonLines(chunks, options);
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    onProgress?.(bytes);
  }
}

async function* readJsonLines(chunks: AsyncIterable<Uint8Array>, defaults: TraceDefaults): AsyncGenerator<TraceLine> {
  for await (const { number: line, text, problem } of readLines(chunks, maxLineBytes)) {
    if (text === undefined) yield { line, field: '', problem: problem! };
    else if (text.trim() !== '') yield resultOf(line, valuesOf(text), defaults);
  }
}

function valuesOf(text: string): Values | FieldProblem {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { field: '', problem: 'It is not JSON.' };
  }
  if (!isObject(json)) return { field: '', problem: 'It is not a JSON object.' };
  const { place, ...rest } = json;
  if (place !== undefined && !isObject(place)) return { field: 'place', problem: 'It is not an object.' };
  const { name: placeName, ...where } = (place ?? {}) as Record<string, unknown>;
  const values = { ...rest, ...where, ...(placeName !== undefined && { placeName }) };
  const unknown = Object.keys(values).find((name) => !columns.some((column) => column === name));
  if (unknown !== undefined)
    return { field: unknown.slice(0, 64), problem: `There is no such field; there are ${columns.join(', ')}.` };
  return values;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Parsed {
  record: Record<string, string>;
  info: { lines: number; error?: unknown };
}

async function* readCsv(chunks: AsyncIterable<Uint8Array>, defaults: TraceDefaults): AsyncGenerator<TraceLine> {
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxLineBytes,
    columns: (names: string[]) => headingOf(names, defaults),
  });
  const source = Readable.from(chunks);
  source.on('error', (error) => parser.destroy(error));
  try {
    for await (const { record, info } of source.pipe(parser) as AsyncIterable<Parsed>) {
      const problem = { field: '', problem: 'It has more or fewer values than the heading has columns.' };
      yield resultOf(info.lines, info.error === undefined ? record : problem, defaults);
    }
  } catch (error) {
    if (error instanceof CsvError) throw new Error(`The file is not valid CSV: ${error.message}`, { cause: error });
    throw error;
  } finally {
    source.destroy();
  }
}

function headingOf(names: string[], defaults: TraceDefaults): string[] {
  const heading = names.map((name) => name.trim());
  const unknown = heading.find((name) => !columns.some((column) => column === name));
  if (unknown !== undefined)
    throw new Error(`The file has a column "${unknown.slice(0, 64)}"; there are ${columns.join(', ')}.`);
  const needed = ['trackingNumber', 'happenedAt', ...(defaults.carrier === undefined ? ['carrier'] : [])];
  const missing = needed.filter((name) => !heading.includes(name));
  if (missing.length > 0)
    throw new Error(`The file has no column ${missing.join(', ')}; it has ${heading.join(', ')}.`);
  return heading;
}

function resultOf(line: number, values: Values | FieldProblem, defaults: TraceDefaults): TraceLine {
  const read = 'problem' in values ? (values as FieldProblem) : readTrace(values, defaults);
  return 'problem' in read ? { line, ...read } : { line, trace: read };
}
