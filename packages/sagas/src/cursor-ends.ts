/**
 * Ends the cursors of streams of which nothing has happened for long. A floor in each log takes their place: everything up
 * to it was seen. docs/bounds.md, Cursors end, has the rules and why nothing is done twice.
 */
import { domainOf, domainsOf } from '@caudal/contract/entity.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import {
  feedCheckpoint,
  floorCheckpoint,
  nextFloorCheckpoint,
  sweepCheckpoint,
} from '@caudal/messaging/checkpoints.ts';
import { type Logs, logOf, logsOf } from '@caudal/messaging/logs.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';

const log = logger('saga');

/** How old an event must be before the floor passes it. A log that loses its end loses far less. */
const MIN_AGE_MS = 24 * 3_600_000;
const PAGE = 2_000;
/** Reads of a log at a time, for positions that are not known. */
const AT_ONCE = 8;

export interface CursorEndOptions {
  /** Of the saga's context; a transaction commits only while the caller may write. */
  database: Transaction & { transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> };
  handler: { name: string; entities: string[] };
  /** By domain; those of the handler's entities. */
  logs: Logs;
  now: Date;
  signal: AbortSignal;
}

/**
 * Moves the handler's floors on, if they are due, and then deletes the cursors that they make needless; returns how many.
 * May be called at any time by one caller at a time, and be interrupted. No process of version 0.2 may run the handler.
 */
export async function endCursors(options: CursorEndOptions): Promise<number> {
  const floors = new Map<string, number>();
  let moved = false;
  for (const reader of logsOf(options.logs, options.handler)) {
    const { floor, hasMoved } = await moveFloor(options, reader);
    floors.set(reader.domain, floor);
    if (hasMoved) moved = true;
  }
  return moved ? deletePassed(options, floors) : 0;
}

/**
 * The floor goes to where the next one was noted, once the event there is a day old. Then the next one is noted: up to
 * where reconciliation, or the log feed, has settled everything by now.
 */
async function moveFloor({ database, handler, now }: CursorEndOptions, reader: LogReader) {
  const names = [floorCheckpoint, nextFloorCheckpoint, sweepCheckpoint, feedCheckpoint].map((nameOf) =>
    nameOf(handler.name, reader.domain),
  );
  const rows = await database.query<Settled>({
    name: 'floor-read',
    text: 'SELECT name, position, log_epoch AS epoch FROM checkpoints WHERE name = ANY ($1::text[])',
    values: [names],
  });
  const at = new Map(rows.map(({ name, position }) => [name, position]));
  const [floor, next, swept, fed] = names.map((name) => at.get(name) ?? 0) as [number, number, number, number];
  const settled = Math.max(swept, fed);
  // If it has been set back, as after a fail-over that has lost events, what was noted before says nothing any more.
  const to = next > floor && next <= settled ? next : floor;
  if (to > floor && !(await isOld(reader, to, now))) return { floor, hasMoved: false };
  if (to === floor && next === settled) return { floor, hasMoved: false };
  const epochs = epochsOf(rows, names);
  const moved = await database.transaction(async (tx) => {
    // They are set back together with the floors, in this order: messaging/src/reading.ts.
    const present = await tx.query<Settled>({
      name: 'floor-guard',
      text: 'SELECT name, position, log_epoch AS epoch FROM checkpoints WHERE name = ANY ($1::text[]) ORDER BY name FOR SHARE',
      values: [names.slice(2)],
    });
    if (epochsOf(present, names) !== epochs) return false;
    // Streams that are parked have events that the floor passes and that were not seen: from now on their row says so.
    await tx.query({
      name: 'floor-hold',
      text: `INSERT INTO handler_cursors (handler, stream, version, held)
        SELECT handler, stream, version - 1, true FROM parked_streams WHERE handler = $1 ORDER BY stream COLLATE "C"
        ON CONFLICT (handler, stream) DO UPDATE SET held = true`,
      values: [handler.name],
    });
    await tx.query({
      name: 'floor-move',
      text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2), ($3, $4)
        ON CONFLICT (name) DO UPDATE SET position = excluded.position`,
      values: [names[0], to, names[1], settled],
    });
    return true;
  });
  return moved ? { floor: to, hasMoved: to > floor } : { floor, hasMoved: false };
}

interface Settled {
  name: string;
  position: number;
  epoch: number;
}

/** The epochs of the log (docs/fail-over.md) up to which everything has been settled, to be compared. */
function epochsOf(rows: Settled[], names: string[]): string {
  return JSON.stringify(names.slice(2).map((name) => rows.find((row) => row.name === name)?.epoch ?? 0));
}

/** Whether the log's event at this position is a day old. */
async function isOld(reader: LogReader, position: number, now: Date): Promise<boolean> {
  const { events, head } = await reader.readLog(position - 1, { limit: 1 });
  const [event] = events;
  if (event?.position === position) return now.getTime() - event.recordedAt.getTime() >= MIN_AGE_MS;
  log.error({ domain: reader.domain, position, head }, 'the log does not reach to where a saga has seen it');
  return false;
}

interface Row {
  stream: string;
  version: number;
  position: number | null;
  positionOf: number | null;
}

/** Goes through all cursors of the handler, by stream. */
async function deletePassed(options: CursorEndOptions, floors: ReadonlyMap<string, number>): Promise<number> {
  const { database, handler, signal } = options;
  let count = 0;
  for (let page: Row[] = [], after = ''; !signal.aborted; after = page.at(-1)!.stream) {
    page = await database.query<Row>({
      name: 'cursors-page',
      text: `SELECT stream, version, position, position_of AS "positionOf" FROM handler_cursors
        WHERE handler = $1 AND stream > $2 ORDER BY stream LIMIT $3`,
      values: [handler.name, after, PAGE],
    });
    if (page.length === 0) break;
    const known = page.filter(({ version, positionOf }) => positionOf === version);
    for (const [domain, rows] of Map.groupBy(known, ({ stream }) => domainOf(stream))) {
      const floor = floors.get(domain) ?? 0;
      const passed = rows.filter(({ position }) => position! <= floor).map(({ stream }) => stream);
      if (passed.length > 0)
        count += await database.transaction((tx) => deleteCursors(tx, handler.name, passed, floor));
    }
    await findPositions(
      options,
      page.filter(({ version, positionOf }) => version > 0 && positionOf !== version),
    );
  }
  return count;
}

/** Rows that a worker is changing are left for another day: waiting for them could be a deadlock. */
async function deleteCursors(tx: Transaction, handler: string, streams: string[], floor: number): Promise<number> {
  const [row] = await tx.query<{ count: number }>({
    name: 'cursors-end',
    text: `WITH passed AS (
        SELECT c.stream FROM handler_cursors c
        WHERE c.handler = $1 AND c.stream = ANY ($2::text[]) AND c.position_of = c.version AND c.position <= $3
          AND NOT EXISTS (SELECT FROM parked_streams p WHERE p.handler = $1 AND p.stream = c.stream)
        FOR UPDATE OF c SKIP LOCKED
      ), ended AS (
        DELETE FROM handler_cursors WHERE handler = $1 AND stream = ANY (ARRAY(SELECT stream FROM passed)) RETURNING 1
      )
      SELECT count(*) AS count FROM ended`,
    values: [handler, streams, floor],
  });
  return row!.count;
}

/** Looks up the positions of cursors that lack them, as those of version 0.2 do: their turn comes with the next floor. */
async function findPositions(
  { database, handler, logs, signal }: CursorEndOptions,
  cursors: { stream: string; version: number }[],
): Promise<void> {
  if (cursors.length === 0) return;
  const found: { stream: string; version: number; position: number }[] = [];
  const followed = domainsOf(handler.entities);
  await forEachConcurrent(cursors, AT_ONCE, async ({ stream, version }) => {
    if (signal.aborted || !followed.has(domainOf(stream))) return;
    const [event] = await logOf(logs, stream).readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 });
    if (event?.version === version) found.push({ stream, version, position: event.position });
  });
  await database.transaction((tx) =>
    tx.query({
      name: 'cursors-positions',
      text: `WITH known AS (
          SELECT c.stream, f.position, f.version FROM handler_cursors c
            JOIN unnest($2::text[], $3::bigint[], $4::bigint[]) AS f(stream, version, position) USING (stream, version)
          WHERE c.handler = $1 FOR UPDATE OF c SKIP LOCKED
        )
        UPDATE handler_cursors c SET position = known.position, position_of = known.version
        FROM known WHERE c.handler = $1 AND c.stream = known.stream`,
      values: [
        handler.name,
        found.map(({ stream }) => stream),
        found.map(({ version }) => version),
        found.map(({ position }) => position),
      ],
    }),
  );
}
