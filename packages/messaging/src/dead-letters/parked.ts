/** The rows of parked streams: parking a stream, recording its later events, and removing it. */
import { type Fence, holdsFence } from '@caudal/postgres/checkpoint.ts';
import type { Transaction } from '@caudal/postgres/database.ts';

export interface ParkedStream {
  handler: string;
  stream: string;
  /** The event that could not be handled. */
  version: number;
  eventType: string;
  error: string;
  attempts: number;
  parkedAt: Date;
  /** The last version that has arrived since. */
  lastVersion: number;
  /** How many events wait. */
  count: number;
}

const columns = `handler, stream, version, event_type AS "eventType", error, attempts, parked_at AS "parkedAt",
  last_version AS "lastVersion", count`;

/** Errors are kept for operators to read. */
const maxErrorLength = 2_000;

/**
 * Parks a stream, or records the newer failure of a parked one. `fenced`: the lease of the fence is another process's
 * by now, and nothing was written. The row is on disk when this returns, even on a connection with asynchronous commit:
 * in-order handlers write later events only after it.
 */
export async function park(
  db: Transaction,
  parked: Omit<ParkedStream, 'parkedAt' | 'count'>,
  fence?: Fence,
): Promise<'parked' | 'parked before' | 'fenced'> {
  const { handler, stream, version, eventType, error, attempts, lastVersion } = parked;
  const rows = await db.query<{ inserted: boolean }>({
    name: 'parked-park',
    text: `INSERT INTO parked_streams AS p (handler, stream, version, event_type, error, attempts, last_version)
      SELECT $1, $2, $3, $4, $5, $6, $7 WHERE set_config('synchronous_commit', 'on', true) = 'on'
        AND ($8::text IS NULL OR ${holdsFence('$8', '$9')})
      ON CONFLICT (handler, stream) DO UPDATE SET
        version = excluded.version,
        event_type = excluded.event_type,
        error = excluded.error,
        attempts = p.attempts + excluded.attempts,
        last_version = greatest(p.last_version, excluded.last_version)
      RETURNING xmax = 0 AS inserted`,
    values: [
      handler,
      stream,
      version,
      eventType,
      error.slice(0, maxErrorLength),
      attempts,
      lastVersion,
      fence?.name,
      fence?.epoch,
    ],
  });
  if (!rows[0]) return 'fenced';
  return rows[0].inserted ? 'parked' : 'parked before';
}

/**
 * Records that events up to these versions have arrived, where the stream is parked; returns the streams that are.
 * Rows are locked in one order, so that consumers of one handler can't deadlock.
 */
export async function recordArrivals(
  db: Transaction,
  handler: string,
  arrivals: { stream: string; lastVersion: number }[],
): Promise<Set<string>> {
  const rows = await db.query<{ stream: string }>({
    name: 'parked-record',
    text: `WITH locked AS (
        SELECT stream FROM parked_streams WHERE handler = $1 AND stream = ANY($2::text[]) ORDER BY stream FOR UPDATE
      )
      UPDATE parked_streams AS p SET last_version = greatest(p.last_version, a.last_version)
      FROM locked JOIN unnest($2::text[], $3::bigint[]) AS a (stream, last_version) USING (stream)
      WHERE p.handler = $1 AND p.stream = locked.stream
      RETURNING p.stream`,
    values: [handler, arrivals.map(({ stream }) => stream), arrivals.map(({ lastVersion }) => lastVersion)],
  });
  return new Set(rows.map(({ stream }) => stream));
}

/** Removes a stream that was handled up to `seen`. False: later events were recorded, and it stays parked. */
export async function unpark(db: Transaction, handler: string, stream: string, seen: number): Promise<boolean> {
  const rows = await db.query({
    name: 'parked-unpark',
    text: `DELETE FROM parked_streams WHERE handler = $1 AND stream = $2 AND last_version <= $3 RETURNING stream`,
    values: [handler, stream, seen],
  });
  return rows.length > 0;
}

/** The row of a stream; undefined if it is not parked. */
export async function parkedStream(
  db: Transaction,
  handler: string,
  stream: string,
): Promise<ParkedStream | undefined> {
  const rows = await db.query<ParkedStream>({
    name: 'parked-one',
    text: `SELECT ${columns} FROM parked_streams WHERE handler = $1 AND stream = $2`,
    values: [handler, stream],
  });
  return rows[0];
}

/**
 * A page of parked streams, of one handler or of all, by handler and stream; `after` is the last of the page before.
 */
export function parkedPage(
  db: Transaction,
  { handler, after, limit }: { handler?: string; after?: Pick<ParkedStream, 'handler' | 'stream'>; limit: number },
): Promise<ParkedStream[]> {
  return db.query({
    name: 'parked-page',
    text: `SELECT ${columns} FROM parked_streams
      WHERE ($1::text IS NULL OR handler = $1) AND (handler, stream) > ($2, $3) ORDER BY handler, stream LIMIT $4`,
    values: [handler ?? null, after?.handler ?? '', after?.stream ?? '', limit],
  });
}

/** How many streams of a handler are parked. */
export async function countParked(db: Transaction, handler: string): Promise<number> {
  const rows = await db.query<{ count: number }>({
    name: 'parked-count',
    text: 'SELECT count(*) AS count FROM parked_streams WHERE handler = $1',
    values: [handler],
  });
  return rows[0]!.count;
}
