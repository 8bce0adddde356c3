/** Writes to the log: one call of append() (migrations/010_append.sql) checks and writes a batch of appends. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { timeOfId } from '@caudal/kernel/ids.ts';
import {
  booleanArray,
  byteaArray,
  int4Array,
  textArray,
  timestamptzArray,
  uuidArray,
} from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { claimRows } from './claims.ts';
import type { Append, AppendResult, ExpectedVersion, StreamAppend } from './types.ts';

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
  /** For each part the stream's version after it; null if it has not landed. */
  versions: (number | null)[];
  /** For each stream its version after the batch; null if all have landed. */
  streamVersions: number[] | null;
}

/** The row of a claim that an append was refused for. */
interface ClaimRow {
  /** The append, from 1. */
  n: number;
  verdict: 'duplicate' | 'reused' | 'claimed';
  /** The claim, from 1 in the batch. */
  claim: number;
  kind: number;
  generation: number;
  version: number;
  stream: string;
  reply: Buffer;
}

const parameterCount = 27;
const statement = {
  name: 'eventlog-append',
  text: `SELECT n, verdict, position, recorded_at AS "recordedAt", waited_seconds AS "waitedSeconds", versions,
      stream_versions AS "streamVersions", claim, kind, generation, version, stream, reply
    FROM append(in_epoch($${parameterCount + 1}, $1), ${Array.from({ length: parameterCount - 1 }, (_, index) => `$${index + 2}`).join(', ')})`,
};

const maxStreams = 100;
const maxClaims = 1_000;

function expectedNumber(expected: ExpectedVersion): number {
  if (expected === 'must-exist') return -1;
  return expected === 'any' ? -2 : expected;
}

/** The streams of an append. */
export function partsOf(append: Append): StreamAppend[] {
  return append.also ? [append, ...append.also] : [append];
}

/** Whether the append changes the log, so that doing it twice may differ from doing it once. */
export function writes(append: Append): boolean {
  const { command, claims } = append;
  if (command?.reply !== undefined || claims?.some(({ record }) => record)) return true;
  return partsOf(append).some(({ events }) => events.length > 0);
}

function checkBounds({ stream, also = [], claims = [] }: Append): void {
  const streams = new Set([stream, ...also.map((part) => part.stream)]);
  if (streams.size <= also.length) throw new RangeError(`An append to ${stream} names a stream twice: join its events`);
  if (streams.size > maxStreams)
    throw new RangeError(`An append to ${stream} has ${streams.size} streams: at most ${maxStreams} are possible`);
  const recorded = claims.filter(({ record }) => record).map(({ scope, id }) => `${scope}\0${id}`);
  if (new Set(recorded).size < recorded.length)
    throw new RangeError(`An append to ${stream} records a claim twice: record it once`);
  if (claims.length > maxClaims)
    throw new RangeError(`An append to ${stream} has ${claims.length} claims: at most ${maxClaims} are possible`);
}

/** The streams of a batch, numbered from 1. */
function numberStreams(parts: StreamAppend[]) {
  const numbers = new Map<string, number>();
  const isNew: boolean[] = [];
  const ofParts = parts.map(({ stream, expected }) => {
    const known = numbers.get(stream);
    if (known !== undefined) {
      if (expected !== 0) isNew[known - 1] = false;
      return known;
    }
    numbers.set(stream, numbers.size + 1);
    isNew.push(expected === 0);
    return numbers.size;
  });
  return { names: [...numbers.keys()], isNew, ofParts };
}

/** A batch as the statement's arrays need it. */
function arrange(batch: Judgeable[]) {
  const appends = batch.map(({ append }) => append);
  appends.forEach(checkBounds);
  const parts = appends.flatMap(partsOf);
  const recorded = new Set<string>();
  const refused: boolean[] = [];
  let part = 1;
  const claims = batch.flatMap(({ append, reliesOnRefused }, index) => {
    const rows = claimRows(append).map((row) => ({ ...row, unit: index + 1, part }));
    part += 1 + (append.also?.length ?? 0);
    // The same claim twice in a batch: the second append is decided again, and meets the first one's result.
    refused.push(reliesOnRefused || rows.some(({ key }) => recorded.has(key)));
    for (const { key, outcome } of rows) if (outcome) recorded.add(key);
    return rows;
  });
  return { appends, parts, streams: numberStreams(parts), refused, claims };
}

type Arranged = ReturnType<typeof arrange>;

function parameters({ appends, parts, streams, refused, claims }: Arranged): unknown[] {
  const events = parts.flatMap((part) => part.events);
  return [
    appends.some(writes),
    textArray(streams.names),
    booleanArray(streams.isNew),
    int4Array(appends.map(({ also }) => 1 + (also?.length ?? 0))),
    booleanArray(refused),
    int4Array(streams.ofParts),
    int4Array(parts.map(({ expected }) => expectedNumber(expected))),
    int4Array(parts.map((part) => part.events.length)),
    int4Array(claims.map(({ unit }) => unit)),
    int4Array(claims.map(({ part }) => part)),
    uuidArray(claims.map(({ key }) => key)),
    int4Array(claims.map(({ expected }) => expected)),
    int4Array(claims.map(({ kind }) => kind)),
    int4Array(claims.map(({ days }) => days)),
    timestamptzArray(claims.map(({ keptUntil }) => keptUntil)),
    timestamp(claims.reduce((least, { keptUntil }) => Math.min(least, keptUntil), Number.POSITIVE_INFINITY)),
    timestamp(claims.reduce((latest, { madeAt }) => Math.max(latest, madeAt), Number.NEGATIVE_INFINITY)),
    byteaArray(claims.map(({ hash }) => hash)),
    uuidArray(claims.map(({ former }) => former)),
    byteaArray(claims.map(({ outcome }) => outcome)),
    int4Array(parts.flatMap((part, index) => part.events.map(() => index + 1))),
    int4Array(parts.flatMap((part) => part.events.map((_, place) => place + 1))),
    uuidArray(events.map(({ eventId }) => eventId)),
    textArray(events.map(({ type }) => type)),
    int4Array(events.map(({ schemaVersion }) => schemaVersion)),
    byteaArray(events.map(({ metadata }) => metadata)),
    byteaArray(events.map(({ data }) => data)),
  ];
}

/** A time as a parameter; infinite ones have names. */
function timestamp(ms: number): string {
  if (Number.isFinite(ms)) return new Date(ms).toISOString();
  return ms > 0 ? 'infinity' : '-infinity';
}

/** The batch has a value that can't be sent, such as an id that is no UUID. Nothing was sent. */
export class UnsendableBatch extends Error {
  override name = 'UnsendableBatch';
}

function sendable(batch: Judgeable[]): { arranged: Arranged; values: unknown[] } {
  try {
    const arranged = arrange(batch);
    return { arranged, values: parameters(arranged) };
  } catch (cause) {
    throw new UnsendableBatch((cause as Error).message, { cause });
  }
}

/** The result of an append that was refused for its claims. */
function toRefusal(append: Append, rows: ClaimRow[], firstClaim: number): AppendResult {
  const { verdict, reply, stream, version } = rows[0]!;
  if (verdict === 'duplicate') return { kind: 'duplicate', reply, stream, version };
  if (verdict === 'reused') return { kind: 'reused' };
  const ownFirst = firstClaim + (append.command ? 1 : 0);
  const claims = rows.map((row) => ({
    ...{ place: row.claim - ownFirst, kind: row.kind, generation: row.generation },
    ...{ outcome: row.reply, version: row.version },
  }));
  return { kind: 'claimed', claims: claims.sort((a, b) => a.place - b.place) };
}

/** The results; conflicts without the events that they lack. */
function toResults({ appends, streams }: Arranged, about: BatchRow, rows: ClaimRow[]): AppendResult[] {
  const refusals = Map.groupBy(rows, ({ n }) => n);
  let last = about.position;
  let part = 0;
  let claim = 1;
  return appends.map((append, index): AppendResult => {
    const firstClaim = claim;
    claim += (append.claims?.length ?? 0) + (append.command ? 1 : 0);
    const parts = partsOf(append);
    const after = about.versions.slice(part, part + parts.length);
    const present = () =>
      streams.ofParts
        .slice(part - parts.length, part)
        .map((s) => ({ version: about.streamVersions![s - 1]!, missing: [] }));
    part += parts.length;
    const [version, ...also] = after as number[];
    if (version === null || version === undefined) {
      const refusal = refusals.get(index + 1);
      if (refusal) return toRefusal(append, refusal, firstClaim);
      const [first, ...others] = present();
      return { kind: 'conflict', ...first!, ...(append.also && { also: others }) };
    }
    const count = parts.reduce((sum, { events }) => sum + events.length, 0);
    last += count;
    const position = count > 0 ? last : 0;
    return { kind: 'appended', version, position, recordedAt: about.recordedAt, ...(append.also && { also }) };
  });
}

/** The current month has no partition, and it can't be made. Nothing was written; appends succeed once there is one. */
export class NoPartition extends Error {
  override name = 'NoPartition';
}

/** Makes the partitions of the present. Throws NoPartition if it can't, for example if the role lacks the right to. */
async function makePartition(database: Transaction): Promise<void> {
  try {
    await database.query({ text: 'SELECT make_partitions(0)' });
  } catch (cause) {
    if (cause instanceof CaudalError) throw cause;
    const message = `The events of this month, or the claims, have no partition, and it can't be made: ${(cause as Error).message}`;
    throw new NoPartition(`${message}. The database role must be allowed to create tables.`, { cause });
  }
}

/**
 * Whether a partition is missing: then the job that makes them ahead has not run for months. Or the functions of a month are,
 * if a process of an older version has made its partition.
 */
function lacksPartition(error: unknown): boolean {
  const { message } = error as Error;
  const state = sqlState(error);
  return (state === '23514' && /no partition/.test(message)) || (state === '42883' && /tail_/.test(message));
}

function idFromFuture(cause?: unknown): CaudalError {
  const message =
    'The time in an id (UUIDv7), such as the request_id, is more than a day ahead. Set the clock of the process that makes the ids.';
  return new CaudalError('INVALID_ARGUMENT', 'ID_FROM_FUTURE', message, { cause });
}

/** An id whose time is more than a day ahead of the server's clock: it could not be forgotten in time. */
function asCallersMistake(error: unknown): unknown {
  return sqlState(error) === '22008' ? idFromFuture(error) : error;
}

/** An hour more than the log's own bound: the process's clock is another one. */
const longestAheadMs = 25 * 3_600_000;

/**
 * The refusal of an append with an id of a time too far ahead, by this process's clock. The log refuses it too, but then all that
 * share its call are sent again, each alone: one caller could slow down all others.
 */
export function fromFuture({ command, claims = [] }: Append, now: number): CaudalError | undefined {
  const isAhead = (time: number | undefined) => time !== undefined && time > now + longestAheadMs;
  return isAhead(command?.madeAt) || claims.some(({ id }) => isAhead(timeOfId(id))) ? idFromFuture() : undefined;
}

/**
 * Checks and writes the batch. Returns one result for each append, in order, and the seconds that the batch waited for
 * its turn. Conflicts are without the events that they lack: see `addMissing`. All or nothing: after an error nothing was
 * written, except that after a lost connection (UNAVAILABLE) the batch may have been written. NoPartition if the current
 * month has no partition. `isOtherEpoch` if the log is not in this epoch.
 */
export async function appendBatch(
  database: Transaction,
  batch: Judgeable[],
  epoch?: number,
): Promise<{ results: AppendResult[]; waitedSeconds: number }> {
  const { arranged, values } = sendable(batch);
  const call = () => database.query<ClaimRow>({ ...statement, values: [...values, epoch ?? null] });
  const [about, ...rows] = await call().catch(async (error: unknown) => {
    if (!lacksPartition(error)) throw asCallersMistake(error);
    await makePartition(database);
    return call();
  });
  const batchRow = about as unknown as BatchRow;
  return { results: toResults(arranged, batchRow, rows), waitedSeconds: batchRow.waitedSeconds };
}
