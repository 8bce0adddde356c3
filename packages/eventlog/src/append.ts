/** The log's one way in: a batch of appends, judged and written by append() (migrations/003_append.sql) in one call. */
import { booleanArray, byteaArray, int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import type { Append, ExpectedVersion, RecordedEvent, Verdict } from './types.ts';

/** An append on its way. */
export interface Judgeable {
  append: Append;
  /** An earlier append that this one relies on was refused: it must not land. */
  reliesOnRefused: boolean;
}

interface Row extends RecordedEvent {
  n: number;
  verdict: Verdict['kind'] | 'missing';
  reply: Buffer | null;
  waitedSeconds: number;
}

const statement = {
  name: 'eventlog-append',
  text: `SELECT n, verdict, position, recorded_at AS "recordedAt", version, stream, reply, event_id AS "eventId", type,
      schema_version AS "schemaVersion", metadata, data, waited_seconds AS "waitedSeconds"
    FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
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
    uuidArray(events.map(({ eventId }) => eventId)),
    textArray(events.map(({ type }) => type)),
    int4Array(events.map(({ schemaVersion }) => schemaVersion)),
    byteaArray(events.map(({ metadata }) => metadata)),
    byteaArray(events.map(({ data }) => data)),
  ];
}

function toVerdict(row: Row, missing: RecordedEvent[]): Verdict {
  const { version, position, recordedAt, stream } = row;
  switch (row.verdict) {
    case 'appended':
      return { kind: 'appended', version, position, recordedAt };
    case 'duplicate':
      return { kind: 'duplicate', reply: row.reply!, stream, version };
    case 'reused':
      return { kind: 'reused' };
    default:
      return { kind: 'conflict', version, missing };
  }
}

/** The partition for the present month is missing: the job that makes them ahead has not run for months. */
function lacksPartition(error: unknown): boolean {
  return sqlState(error) === '23514' && /no partition/.test((error as Error).message);
}

/**
 * Judges and writes the batch: a verdict each, in order, and how long the log's head was waited for. All or nothing:
 * an error leaves no trace, unless the connection was lost (UNAVAILABLE), when it may have been done.
 */
export async function appendBatch(
  database: Database,
  batch: Judgeable[],
): Promise<{ verdicts: Verdict[]; waitedSeconds: number }> {
  const values = parameters(batch);
  const call = () => database.query<Row>({ ...statement, values });
  const rows = await call().catch(async (error: unknown) => {
    if (!lacksPartition(error)) throw error;
    await database.query({ text: 'SELECT make_partitions(0)' });
    return call();
  });
  const missing = batch.map((): RecordedEvent[] => []);
  for (const row of rows) if (row.verdict === 'missing') missing[row.n - 1]!.push(toEvent(row));
  const judged = rows.filter((row) => row.verdict !== 'missing').sort((a, b) => a.n - b.n);
  return {
    verdicts: judged.map((row, index) => toVerdict(row, missing[index]!)),
    waitedSeconds: judged[0]?.waitedSeconds ?? 0,
  };
}
