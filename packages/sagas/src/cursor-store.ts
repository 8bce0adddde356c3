/** Cursors and timers of handlers in PostgreSQL: how far each stream was seen, and what is due when. */
import { domainOf } from '@caudal/contract/entity.ts';
import type { StreamHead } from '@caudal/eventlog/types.ts';
import { floorCheckpoint, startCheckpoint } from '@caudal/messaging/checkpoints.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { TimerChange } from './types.ts';

/** How far a stream was seen. */
export interface Cursor {
  version: number;
  /** The position in its log of the event with this version; undefined if it is not known. */
  position?: number | undefined;
}

/** What a handler has seen of some streams, at one moment. */
export interface Seen {
  /** The versions of the streams that have a row. */
  versions: ReadonlyMap<string, number>;
  /**
   * By domain: all events of its log up to this position were seen, with or without a row (docs/bounds.md), or are before the saga's
   * beginning (start-positions.ts).
   */
  floors: ReadonlyMap<string, number>;
  /** Streams whose row alone counts. */
  held: ReadonlySet<string>;
}

/**
 * What the handler has seen of these streams. In one statement: a row may go once the floor has passed it, and both the floor and the
 * beginning may be set back if a log has lost its end.
 */
export async function readSeen(database: Database, handler: string, streams: string[]): Promise<Seen> {
  const domains = [...new Set(streams.map(domainOf))];
  const names = [floorCheckpoint, startCheckpoint].flatMap((of) => domains.map((domain) => of(handler, domain)));
  const rows = await database.query<{ name: string; value: number; held: boolean | null }>({
    name: 'read-seen',
    text: `SELECT stream AS name, version AS value, held FROM handler_cursors WHERE handler = $1 AND stream = ANY($2::text[])
      UNION ALL
      SELECT d.domain, max(c.position), NULL
      FROM unnest($3::text[] || $3::text[], $4::text[]) AS d(domain, name) JOIN checkpoints c USING (name) GROUP BY d.domain`,
    values: [handler, streams, domains, names],
  });
  const versions = new Map<string, number>();
  const floors = new Map<string, number>();
  const held = new Set<string>();
  for (const row of rows) {
    if (row.held === null) floors.set(row.name, row.value);
    else versions.set(row.name, row.value);
    if (row.held) held.add(row.name);
  }
  return { versions, floors, held };
}

/** How far the handler has seen the streams of these events; 0 for not at all. For reconciliation. */
export async function seenOf(database: Database, handler: string, heads: StreamHead[]): Promise<number[]> {
  const seen = await readSeen(
    database,
    handler,
    heads.map(({ stream }) => stream),
  );
  return heads.map((head) => Math.max(seen.versions.get(head.stream) ?? 0, isPassed(seen, head) ? head.version : 0));
}

/** Whether the floor says that the event was seen. */
export function isPassed({ floors, held }: Seen, { stream, position }: StreamHead): boolean {
  return position <= (floors.get(domainOf(stream)) ?? 0) && !held.has(stream);
}

/** Called in the process that sets timers of the handler, with the earliest due time of those set together. */
type TimersSet = (dueAt: Date) => void;

/** By database and handler. */
const listeners = new WeakMap<Database, Map<string, Set<TimersSet>>>();

/** Calls `listener` when timers of the handler are set through the same `database`. Returns a function that ends it. */
export function onTimersSet(database: Database, handler: string, listener: TimersSet): () => void {
  const ofDatabase = listeners.get(database) ?? new Map<string, Set<TimersSet>>();
  const ofHandler = ofDatabase.get(handler) ?? new Set<TimersSet>();
  listeners.set(database, ofDatabase.set(handler, ofHandler.add(listener)));
  return () => void ofHandler.delete(listener);
}

/**
 * Writes cursors and timers in one statement. Cursors never go back, and an older change never overwrites a newer
 * timer. An unset timer leaves no row, so an older change may set it again: it fires once, and its handler unsets it.
 * `known` locks timers in the order of their ids, against deadlocks of two writers. See README, Why so.
 */
export async function writeCursors(
  database: Database,
  handler: string,
  cursors: Map<string, Cursor>,
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
    name: 'write-cursors',
    text: `WITH known AS (
             SELECT id FROM timers WHERE handler = $1 AND id = ANY($4::text[] || $6::text[]) ORDER BY id FOR UPDATE
           ), seen AS (
             INSERT INTO handler_cursors AS c (handler, stream, version, position, position_of)
             SELECT $1, s, v, p, CASE WHEN p IS NOT NULL THEN v END
             FROM unnest($2::text[], $3::bigint[], $10::bigint[]) AS t(s, v, p)
             ON CONFLICT (handler, stream) DO UPDATE
               SET version = excluded.version, position = excluded.position, position_of = excluded.position_of
               WHERE c.version < excluded.version
           ), cancelled AS (
             DELETE FROM timers USING known JOIN unnest($4::text[], $5::bigint[]) AS t(i, v) ON known.id = i
             WHERE handler = $1 AND timers.id = i AND version <= v
           )
           INSERT INTO timers (handler, id, due_at, retries, version)
           SELECT $1, i, d, r, v FROM unnest($6::text[], $7::timestamptz[], $8::integer[], $9::bigint[]) AS t(i, d, r, v)
           WHERE (SELECT count(*) FROM known) >= 0
           ON CONFLICT (handler, id) DO UPDATE
             SET due_at = excluded.due_at, retries = excluded.retries, version = excluded.version
             WHERE timers.version <= excluded.version`,
    values: [
      handler,
      streams,
      streams.map((stream) => cursors.get(stream)!.version),
      unset.map((timer) => timer.id),
      unset.map((timer) => timer.version),
      set.map((timer) => timer.id),
      set.map((timer) => timer.dueAt!.toISOString()),
      set.map((timer) => timer.retries),
      set.map((timer) => timer.version),
      streams.map((stream) => cursors.get(stream)!.position),
    ],
  });
  if (set.length === 0) return;
  const earliest = new Date(Math.min(...set.map(({ dueAt }) => dueAt!.getTime())));
  for (const listener of listeners.get(database)?.get(handler) ?? []) listener(earliest);
}

export interface DueTimer {
  handler: string;
  id: string;
  /** How often it was due and has failed before. */
  retries: number;
  version: number;
}

/**
 * Takes up to `limit` timers of these handlers that are due at `now`; other takers skip them. They are due again after
 * `leaseMs` unless they are changed before, so a crash delays them and loses none. The WITH is needed: the planner may
 * run a subquery several times, and SKIP LOCKED would take other rows each time.
 */
export async function takeDueTimers(
  database: Database,
  { handlers, now, leaseMs, limit }: { handlers: string[]; now: Date; leaseMs: number; limit: number },
): Promise<DueTimer[]> {
  return database.query<DueTimer>({
    name: 'take-due-timers',
    text: `WITH due AS (
             SELECT handler, id FROM timers WHERE handler = ANY($1::text[]) AND due_at <= $2
             ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
           )
           UPDATE timers SET due_at = $2::timestamptz + make_interval(secs => $3::double precision / 1000)
           FROM due WHERE timers.handler = due.handler AND timers.id = due.id
           RETURNING timers.handler, timers.id, retries, version`,
    values: [handlers, now.toISOString(), leaseMs, limit],
  });
}

/** The earliest timer of each of these handlers that has one due by `until`. */
export async function dueSoon(
  database: Database,
  { handlers, until }: { handlers: string[]; until: Date },
): Promise<{ handler: string; dueAt: Date }[]> {
  return database.query({
    name: 'timers-due-soon',
    // The first row of each, not min(): so a backlog of due timers is not read.
    text: `SELECT handler, soonest.due_at AS "dueAt"
           FROM unnest($1::text[]) AS h(handler)
           CROSS JOIN LATERAL (
             SELECT due_at FROM timers WHERE timers.handler = h.handler AND due_at <= $2 ORDER BY due_at LIMIT 1
           ) AS soonest`,
    values: [handlers, until.toISOString()],
  });
}

/** Makes the handler's timers that are due by `until` due now, except those that another statement is changing. */
export async function hastenTimers(
  database: Database,
  { handler, now, until }: { handler: string; now: Date; until: Date },
): Promise<void> {
  await database.query({
    name: 'hasten-timers',
    text: `WITH ahead AS (
             SELECT id FROM timers WHERE handler = $1 AND due_at > $2 AND due_at <= $3 FOR UPDATE SKIP LOCKED
           )
           UPDATE timers SET due_at = $2 FROM ahead WHERE handler = $1 AND timers.id = ahead.id`,
    values: [handler, now.toISOString(), until.toISOString()],
  });
}
