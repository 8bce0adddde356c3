/**
 * A page of a parcel's traces, from the database and from the archive. docs/tracking-archive.md, Reading.
 */
import { limitReads } from '@caudal/archive-store/limit-reads.ts';
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { type Archive, maybeCopy } from '@caudal/eventlog/archive/archive.ts';
import type { Key } from '@caudal/eventlog/archive/frames.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { TraceManifest } from './export-month.ts';
import { type ArchivedTrace, keyOf, parseTraces } from './line.ts';
import { type ArchivedPart, columnsOfPart } from './months.ts';

/** Requests to the archive of a process. */
const inFlight = 8;
/** Parts of months that a call reads. */
const partsAtMost = 24;
/** Before all others of their time. */
const firstId = '00000000-0000-0000-0000-000000000000';

/** Where a page begins: behind this trace. */
export interface Place {
  at: Date;
  id: string;
}

export interface TracePage {
  /** Those that happened last first. */
  traces: Trace[];
  /** Undefined at the end. */
  next: Place | undefined;
  /** Whether the archive was read. */
  archived: boolean;
}

interface ReadOptions {
  parcel: string;
  firstAt: Date | null;
  lastAt: Date | null;
  before: Place | undefined;
  limit: number;
}

interface Found {
  id: string;
  at: Date;
  body: Buffer;
}

/** `archive`: undefined in a process that has none: pages that need it are UNAVAILABLE then. */
export function openTraceReader(database: Transaction, archive: Archive | undefined) {
  const store = archive && limitReads(archive.store, inFlight);

  /** The parcel's last traces of a part before a place, the last one first. */
  async function readPart(part: ArchivedPart, { parcel, before, limit }: ReadOptions): Promise<Found[]> {
    if (!archive || !store) throw noArchive();
    const work = async () => {
      const { byParcel: file } = await archive.reader.readManifest<TraceManifest>(store, part);
      const to: Key = [parcel, before ? `${before.at.toISOString().slice(0, -1)}000Z` : '~', before?.id ?? ''];
      const lines = { file, parse: parseTraces, keyOf };
      return archive.reader.readLast<ArchivedTrace>(store, lines, { from: [parcel, '', ''], to, limit });
    };
    const found = await maybeCopy(store, part, work());
    return found.map(({ id, happenedAt, body }) => ({
      id,
      at: new Date(happenedAt),
      body: Buffer.from(body, 'base64'),
    }));
  }

  /** A page of the parcel's traces. Errors: UNAVAILABLE ARCHIVE_UNAVAILABLE. */
  return async (options: ReadOptions): Promise<TracePage> => {
    const { limit } = options;
    // One more than the page has, to know whether there is another.
    const asked = { ...options, limit: limit + 1 };
    const { living, parts } = await selectPage(database, asked);
    let found = living;
    let read = 0;
    const months = [...Map.groupBy(parts, ({ month }) => month)].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [month, own] of months) {
      const end = endOf(month);
      const isFull = found.filter(({ at }) => at >= end).length > limit;
      if (isFull) break;
      if (read > 0 && read + own.length > partsAtMost) return pageOf(found, { limit, from: end, archived: true });
      read += own.length;
      for (const part of own) found = merged(found, await readPart(part, asked));
    }
    return pageOf(found, { limit, archived: read > 0 });
  };
}

function noArchive(): CaudalError {
  const message =
    'Traces of this parcel are in the archive, and this process has none: set CAUDAL_ARCHIVE as in the other processes.';
  return new CaudalError('UNAVAILABLE', 'ARCHIVE_UNAVAILABLE', message, { retryAfterMs: 1_000 });
}

/** The first moment after the month. */
function endOf(month: string): Date {
  const [year, number] = month.split('-').map(Number) as [number, number];
  return new Date(Date.UTC(year, number));
}

const monthOf = ({ at }: Found) => at.toISOString().slice(0, 7);

/**
 * In the order of pages; of a trace that is in both once. One that was said again with a time in another month is another one: the database
 * tells them apart as well, so rows that are asked for never become fewer.
 */
function merged(some: Found[], others: Found[]): Found[] {
  const byId = new Map([...others, ...some].map((found) => [`${found.id} ${monthOf(found)}`, found]));
  return [...byId.values()].sort((a, b) => b.at.getTime() - a.at.getTime() || (a.id < b.id ? 1 : -1));
}

/** `from`: nothing before it was looked at. */
function pageOf(
  found: Found[],
  { limit, from, archived }: { limit: number; from?: Date; archived: boolean },
): TracePage {
  const known = from ? found.filter(({ at }) => at >= from) : found;
  const page = known.slice(0, limit);
  const last = page.at(-1);
  const traces = page.map(({ body }) => Trace.decode(body));
  if (known.length > limit) return { traces, next: { at: last!.at, id: last!.id }, archived };
  return { traces, next: from && { at: from, id: firstId }, archived };
}

type Row = Found & Omit<ArchivedPart, 'month'> & { month: string | null };

/** One statement, so a month that is switched meanwhile is in the one or the other. */
async function selectPage(
  database: Transaction,
  { parcel, firstAt, lastAt, before, limit }: ReadOptions,
): Promise<{ living: Found[]; parts: ArchivedPart[] }> {
  // Between the parcel's first and last trace: months before and after are not looked at, nor those that begin where
  // the page does: each page comes to a month of its own.
  const rows = await database.query<Row>({
    name: 'tracking-traces',
    text: `(SELECT id::text, happened_at AS at, body, NULL AS month, NULL::int AS part, NULL AS archive, NULL AS path, NULL::bytea AS hash
      FROM traces
      WHERE parcel = $1 AND happened_at BETWEEN $2 AND $3 AND ($4::timestamptz IS NULL OR (happened_at, id) < ($4, $5::uuid))
      ORDER BY happened_at DESC, traces.id DESC LIMIT $6)
      UNION ALL
      SELECT NULL, NULL, NULL, ${columnsOfPart} FROM archived_trace_months a
      WHERE a.restored_at IS NULL
        AND a.month BETWEEN date_trunc('month', $2::timestamptz AT TIME ZONE 'UTC')::date AND ($3::timestamptz AT TIME ZONE 'UTC')::date
        AND ($4::timestamptz IS NULL OR (a.month::timestamp AT TIME ZONE 'UTC', '${firstId}'::uuid) < ($4, $5::uuid))`,
    values: [parcel, firstAt, before?.at ?? lastAt, before?.at ?? null, before?.id ?? null, limit],
  });
  const isPart = (row: Row): row is Row & ArchivedPart => row.month !== null;
  return {
    living: merged(
      [],
      rows.filter((row) => !isPart(row)),
    ),
    parts: rows.filter(isPart),
  };
}
