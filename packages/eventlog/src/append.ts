/** Writes to the log: one call of append() (migrations/003_append.sql) checks and writes a batch of appends. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { booleanArray, byteaArray, int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import type { Append, AppendResult, ExpectedVersion, RecordedEvent } from './types.ts';

/** An append to be sent. */
export interface Judgeable {
  append: Append;
  /** An earlier append that this one relies on was refused: it must not land. */
  reliesOnRefused: boolean;
}

/** The row for the batch as a whole. */
interface BatchRow {
  /** The log's last position before it. */
  position: number;
  recordedAt: Date;
  waitedSeconds: number;
  /** For each append the stream's version after it; null if it has not landed. */
  versions: (number | null)[];
}

/** The row of an append that has not landed, or of an event that such an append lacks. */
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

/** The batch has a value that can't be sent, such as an id that is no UUID. Nothing was sent. */
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
      // The rows of the missing events follow this one.
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

/** The current month has no partition, and it can't be made. Nothing was written; appends succeed once there is one. */
export class NoPartition extends Error {
  override name = 'NoPartition';
}

/** Makes the current month's partition. Throws NoPartition if it can't, for example if the role lacks the right to. */
async function makePartition(database: Transaction): Promise<void> {
  try {
    await database.query({ text: 'SELECT make_partitions(0)' });
  } catch (cause) {
    if (cause instanceof CaudalError) throw cause;
    const message = `The events of this month have no partition, and it can't be made: ${(cause as Error).message}`;
    throw new NoPartition(`${message}. The database role must be allowed to create tables.`, { cause });
  }
}

/** Whether the current month's partition is missing: then the job that makes them ahead has not run for months. */
function lacksPartition(error: unknown): boolean {
  return sqlState(error) === '23514' && /no partition/.test((error as Error).message);
}

/**
 * Checks and writes the batch. Returns one result for each append, in order, and the seconds that the batch waited for
 * the log's head. All or nothing: after an error nothing was written, except that after a lost connection (UNAVAILABLE)
 * the batch may have been written. NoPartition if the current month has no partition.
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
