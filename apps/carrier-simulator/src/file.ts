/** Writes events to a file for `caudal tracking import`: lines of JSON, or CSV. */
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { importLine } from './formats.ts';
import type { Tally } from './report.ts';
import type { Sent } from './sequence.ts';

/** What the CSV has; the importer knows more columns. */
const columns = [
  'carrier',
  'trackingNumber',
  'eventId',
  'happenedAt',
  'status',
  'subStatus',
  'placeName',
  'country',
  'latitude',
  'longitude',
];

/** Writes all of them; the file's name says the format. */
export async function writeFile(path: string, events: Iterable<Sent>, tally: Tally): Promise<void> {
  const csv = path.endsWith('.csv');
  async function* chunks(): AsyncGenerator<string> {
    let chunk = csv ? `${columns.join(',')}\n` : '';
    for (const sent of events) {
      const line = importLine(sent.parcel, sent.event);
      chunk += csv ? csvOf(line) : `${JSON.stringify(line)}\n`;
      tally.taken(sent);
      if (chunk.length < 65_536) continue;
      yield chunk;
      chunk = '';
    }
    yield chunk;
  }
  await pipeline(Readable.from(chunks()), createWriteStream(path));
}

/** No value of the simulation needs quotes. */
function csvOf(line: Record<string, unknown>): string {
  const { name: placeName, country, latitude, longitude } = line.place as Record<string, unknown>;
  const values = { ...line, placeName, country, latitude, longitude } as Record<string, unknown>;
  return `${columns.map((column) => values[column] ?? '').join(',')}\n`;
}
