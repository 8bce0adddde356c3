/** The log's one way in: a batch of appends, judged and written by append() (migrations/003_append.sql) in one call. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { booleanArray, byteaArray, int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import type { Append, AppendResult, ExpectedVersion, RecordedEvent } from './types.ts';

/** An append on its way. */
export interface Judgeable {
  append: Append;
  /** An earlier append that this one relies on was refused: it must not land. */
  reliesOnRefused: boolean;
}

/** What is said of the batch as a whole. */
interface BatchRow {
  /** The log's last position before it. */
  position: number;
  recordedAt: Date;
  waitedSeconds: number;
  /** The stream's version after each append; null for those that have not landed. */
  versions: (number | null)[];
}

/** What is said of an append that has not landed, or an event that it lacks. */
interface Row extends RecordedEvent {
  n: number;
  verdict: 'conflict' | 'duplicate' | 'reused' | 'missing';
  reply: Buffer | null;
}

const statement = {
  name: 'eventlog-append',
  text: `SELECT n, verdict, position, recorded_at AS "recordedAt", version, stream, reply, event_id AS "eventId", type,
      schema_version AS "schemaVersion", metadata, data, waited_seconds AS "waitedSeconds", versions
    FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
};

function expectedNumber(expected: ExpectedVersion): number {
  if (expected === 'must-exist') return -1;
  return expected === 'any' ? -2 : expected;
}

function toEvent({ position, stream, version, recordedAt, eventId, type, schemaVersion, data, metadata }: Row) {
  return { position, stream, version, recordedAt, eventId, type, schemaVersion, data, metadata };
}

/** Whether the append changes the log, so that doing it twice may differ from doing it once. */
export function writes({ events, command }: Append): boolean {
  return events.length > 0 || command?.reply !== undefined;
}

function parameters(batch: Judgeable[]): unknown[] {
  const appends = batch.map(({ append }) => append);
  const events = appends.flatMap((append) => append.events);
  return [
    appends.some(writes),
    textArray(appends.map(({ stream }) => stream)),
    int4Array(appends.map(({ expected }) => expectedNumber(expected))),
    booleanArray(batch.map(({ reliesOnRefused }) => reliesOnRefused)),
    int4Array(appends.map((append) => append.events.length)),
    uuidArray(appends.map(({ command }) => command?.key ?? null)),
    byteaArray(appends.map(({ command }) => command?.hash ?? null)),
    byteaArray(appends.map(({ command }) => command?.reply ?? null)),
    int4Array(appends.flatMap((append, index) => append.events.map(() => index + 1))),
    int4Array(appends.flatMap((append) => append.events.map((_, place) => place + 1))),
    uuidArray(events.map(({ eventId }) => eventId)),
    textArray(events.map(({ type }) => type)),
    int4Array(events.map(({ schemaVersion }) => schemaVersion)),
    byteaArray(events.map(({ metadata }) => metadata)),
    byteaArray(events.map(({ data }) => data)),
  ];
}

/** Something in the batch is nothing that can be sent: an id that is no UUID. Nothing was sent. */
export class UnsendableBatch extends Error {
  override name = 'UnsendableBatch';
}

function sendable(batch: Judgeable[]): unknown[] {
  try {
    return parameters(batch);
  } catch (cause) {
    throw new UnsendableBatch((cause as Error).message, { cause });
  }
}

function toRefusal({ verdict, version, stream, reply }: Row, missing: RecordedEvent[]): AppendResult {
  if (verdict === 'duplicate') return { kind: 'duplicate', reply: reply!, stream, version };
  return verdict === 'reused' ? { kind: 'reused' } : { kind: 'conflict', version, missing };
}

function toResults(batch: Judgeable[], { position, recordedAt, versions }: BatchRow, rows: Row[]): AppendResult[] {
  const missing = new Map<number, RecordedEvent[]>();
  const refusals = new Map<number, AppendResult>();
  for (const row of rows) {
    if (row.verdict === 'missing') {
      missing.get(row.n)!.push(toEvent(row));
    } else {
      // The rows of what it lacks come behind it.
      missing.set(row.n, []);
      refusals.set(row.n, toRefusal(row, missing.get(row.n)!));
    }
  }
  let last = position;
  return batch.map(({ append: { events } }, index) => {
    const version = versions[index];
    if (version === null || version === undefined) return refusals.get(index + 1)!;
    last += events.length;
    return { kind: 'appended', version, position: events.length > 0 ? last : 0, recordedAt };
  });
}

/** There is no partition for the present month, and none can be made. Nothing was written; it can be once there is one. */
export class NoPartition extends Error {
  override name = 'NoPartition';
}

/** Makes the present month's. What keeps it from that is no fault of the append's: a right that the role lacks, say. */
async function makePartition(database: Transaction): Promise<void> {
  try {
    await database.query({ text: 'SELECT make_partitions(0)' });
  } catch (cause) {
    if (cause instanceof CaudalError) throw cause;
    throw new NoPartition(`No partition of this month, and none can be made: ${(cause as Error).message}`, { cause });
  }
}

/** The partition for the present month is missing: the job that makes them ahead has not run for months. */
function lacksPartition(error: unknown): boolean {
  return sqlState(error) === '23514' && /no partition/.test((error as Error).message);
}

/**
 * Judges and writes the batch: a result each, in order, and how long the log's head was waited for. All or nothing:
 * an error leaves no trace, unless the connection was lost (UNAVAILABLE), when it may have been done. NoPartition if the
 * log has none for the present.
 */
export async function appendBatch(
  database: Transaction,
  batch: Judgeable[],
): Promise<{ results: AppendResult[]; waitedSeconds: number }> {
  const values = sendable(batch);
  const call = () => database.query<Row>({ ...statement, values });
  const [about, ...rows] = await call().catch(async (error: unknown) => {
    if (!lacksPartition(error)) throw error;
    await makePartition(database);
    return call();
  });
  const batchRow = about as unknown as BatchRow;
  return { results: toResults(batch, batchRow, rows), waitedSeconds: batchRow.waitedSeconds };
}
