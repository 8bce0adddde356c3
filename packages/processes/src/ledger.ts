/** What handlers keep in PostgreSQL: how far they have seen each stream, and what is due when. */
import type { Database } from '@caudal/postgres/database.ts';
import type { TimerChange } from './types.ts';

/** The version of each stream that the handler has seen; absent: none. */
export async function readCursors(
  database: Database,
  handler: string,
  streams: string[],
): Promise<Map<string, number>> {
  const rows = await database.query<{ stream: string; version: number }>({
    name: 'read-cursors',
    text: 'SELECT stream, version FROM handler_cursors WHERE handler = $1 AND stream = ANY($2::text[])',
    values: [handler, streams],
  });
  return new Map(rows.map(({ stream, version }) => [stream, version]));
}

/**
 * Notes in one statement what was seen and what is due because of it. Cursors never go back. Rows are taken in order, so
 * that two writers can't lock each other out.
 */
export async function writeLedger(
  database: Database,
  handler: string,
  cursors: Map<string, number>,
  timers: TimerChange[],
): Promise<void> {
  if (cursors.size === 0 && timers.length === 0) return;
  const streams = [...cursors.keys()].sort();
  const changes = [...new Map(timers.map((timer) => [timer.id, timer])).values()].sort((a, b) =>
    a.id < b.id ? -1 : 1,
  );
  const set = changes.filter((timer) => timer.dueAt);
  const unset = changes.filter((timer) => !timer.dueAt);
  await database.query({
    name: 'write-ledger',
    text: `WITH seen AS (
             INSERT INTO handler_cursors (handler, stream, version)
             SELECT $1, s, v FROM unnest($2::text[], $3::bigint[]) AS t(s, v)
             ON CONFLICT (handler, stream) DO UPDATE
               SET version = greatest(handler_cursors.version, excluded.version)
           ), cancelled AS (
             DELETE FROM timers USING unnest($4::text[], $5::bigint[]) AS t(i, v)
             WHERE handler = $1 AND id = i AND version <= v
           )
           INSERT INTO timers (handler, id, due_at, retries, version)
           SELECT $1, i, d, r, v FROM unnest($6::text[], $7::timestamptz[], $8::integer[], $9::bigint[]) AS t(i, d, r, v)
           ON CONFLICT (handler, id) DO UPDATE
             SET due_at = excluded.due_at, retries = excluded.retries, version = excluded.version
             WHERE timers.version <= excluded.version`,
    values: [
      handler,
      streams,
      streams.map((stream) => cursors.get(stream)),
      unset.map((timer) => timer.id),
      unset.map((timer) => timer.version),
      set.map((timer) => timer.id),
      set.map((timer) => timer.dueAt!.toISOString()),
      set.map((timer) => timer.retries),
      set.map((timer) => timer.version),
    ],
  });
}

export interface DueTimer {
  handler: string;
  id: string;
  /** How often it was due before without being done. */
  retries: number;
  version: number;
}

/**
 * Takes up to `limit` timers of these handlers that are due at `now`. They are due again after `leaseMs` unless they are
 * changed before, so a crash delays them and loses none; other takers pass them by.
 */
export async function takeDueTimers(
  database: Database,
  { handlers, now, leaseMs, limit }: { handlers: string[]; now: Date; leaseMs: number; limit: number },
): Promise<DueTimer[]> {
  return database.query<DueTimer>({
    name: 'take-due-timers',
    text: `UPDATE timers SET due_at = $2::timestamptz + make_interval(secs => $3::double precision / 1000)
           WHERE (handler, id) IN (
             SELECT handler, id FROM timers WHERE handler = ANY($1::text[]) AND due_at <= $2
             ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
           RETURNING handler, id, retries, version`,
    values: [handlers, now.toISOString(), leaseMs, limit],
  });
}
