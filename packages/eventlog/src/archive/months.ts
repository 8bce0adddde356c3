/** The statements about months: which are where, and their rows. */
import type { Transaction } from '@caudal/postgres/database.ts';
import type { ArchivedEvent } from './line.ts';

/** A month whose events are in the archive. */
export interface ArchivedMonth {
  /** The archive that it was written to, and where its objects are there. */
  archive: string;
  path: string;
  hash: Buffer;
}

/** A month of the log, or of a stream. */
export interface Stretch {
  /** `2024-03` */
  month: string;
  /** The position, or the stream's version, before its first event, and that of its last one; null if it is the newest. */
  after: number;
  end: number | null;
  /** Undefined: its events are in the database. */
  archived: ArchivedMonth | undefined;
}

type StretchRow = Omit<Stretch, 'archived'> & { archive: string; path: string | null; hash: Buffer | null };

const toStretch = ({ archive, path, hash, ...rest }: StretchRow): Stretch => ({
  ...rest,
  archived: path === null ? undefined : { archive, path, hash: hash! },
});

/** The month that holds the first event after a position; undefined if the log is empty. */
export async function selectStretchOfLog(db: Transaction, afterPosition: number): Promise<Stretch | undefined> {
  const [row] = await db.query<StretchRow>({
    name: 'eventlog-stretch-of-log',
    text: `SELECT to_char(m.month, 'YYYY-MM') AS month, m.after,
        (SELECT n.after FROM months n WHERE n.month > m.month ORDER BY n.month LIMIT 1) AS end,
        a.archive, a.path, a.manifest_hash AS hash
      FROM months m LEFT JOIN archived_months a ON a.month = m.month
      WHERE m.after <= $1 ORDER BY m.month DESC LIMIT 1`,
    values: [afterPosition],
  });
  return row && toStretch(row);
}

/** The month that holds a stream's first event after a version; undefined if there is no such event. */
export async function selectStretchOfStream(
  db: Transaction,
  stream: string,
  afterVersion: number,
): Promise<Stretch | undefined> {
  const [row] = await db.query<StretchRow>({
    name: 'eventlog-stretch-of-stream',
    text: `SELECT to_char(s.month, 'YYYY-MM') AS month, s.after,
        CASE WHEN a.month IS NULL
          THEN (SELECT n.after FROM stream_months n WHERE n.stream = s.stream AND n.month > s.month ORDER BY n.month LIMIT 1)
          ELSE archived_end(s.stream, s.month) END AS end,
        a.archive, a.path, a.manifest_hash AS hash
      FROM stream_months s LEFT JOIN archived_months a ON a.month = s.month
      WHERE s.stream = $1 AND s.after <= $2 ORDER BY s.month DESC LIMIT 1`,
    values: [stream, afterVersion],
  });
  return row && (row.end === null || row.end > afterVersion) ? toStretch(row) : undefined;
}

/** Those of the streams that have events after their versions in archived months. */
export async function selectReaching(
  db: Transaction,
  { streams, after }: { streams: Buffer; after: Buffer },
): Promise<string[]> {
  const rows = await db.query<{ stream: string }>({
    name: 'eventlog-reaching',
    text: `SELECT DISTINCT c.stream FROM unnest($1::text[], $2::int[]) AS c(stream, after)
      WHERE EXISTS (
        SELECT FROM stream_months s JOIN archived_months a ON a.month = s.month
        WHERE s.stream = c.stream AND c.after < coalesce(archived_end(s.stream, s.month), 2147483647)
      )`,
    values: [streams, after],
  });
  return rows.map(({ stream }) => stream);
}

/** The position of the last event in an archived month; 0 if there is none. */
export async function selectEndOfArchived(db: Transaction): Promise<number> {
  const [row] = await db.query<{ position: number | null }>({
    name: 'eventlog-end-of-archived',
    text: `SELECT min(m.after) AS position FROM months m WHERE m.month > (SELECT max(a.month) FROM archived_months a)`,
  });
  return row?.position ?? 0;
}

/** `2024_03`, as in the names of partitions and functions. Only of a month that the database has given. */
export const suffixOf = (month: string): string => month.replace('-', '_');

const columns = `position, to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "recordedAt", stream, version,
  event_id AS "eventId", type, schema_version AS "schemaVersion", metadata, data`;

type EventRow = Omit<ArchivedEvent, 'metadata' | 'data'> & { metadata: Buffer; data: Buffer };

const toArchived = (row: EventRow): ArchivedEvent => ({
  ...row,
  metadata: row.metadata.toString('base64'),
  data: row.data.toString('base64'),
});

/** Bounds of a page. It is in memory as bytes, in base64 and as text. */
const pageSize = 500;
const pageBytes = 8 * 2 ** 20;
/** Before the size of events is known. */
const firstPage = 20;

/** How many events are read next: by the size of those that were read last. */
function nextPage(rows: EventRow[]): number {
  const bytes = rows.reduce((sum, { metadata, data }) => sum + metadata.length + data.length, 0);
  return Math.max(1, Math.min(pageSize, Math.floor((pageBytes * rows.length) / (bytes + 1))));
}

/** The events of a month's table in the order of positions, in pages. */
export async function* readByPosition(db: Transaction, month: string): AsyncIterable<ArchivedEvent[]> {
  for (let [last, most] = [0, firstPage]; ; ) {
    const rows: EventRow[] = await db.query<EventRow>({
      text: `SELECT ${columns} FROM month_by_position($1, $2, $3)`,
      values: [firstDay(month), last, most],
    });
    if (rows.length === 0) return;
    yield rows.map(toArchived);
    last = rows.at(-1)!.position;
    most = nextPage(rows);
  }
}

/** The same in the order of streams and versions. */
export async function* readByStream(db: Transaction, month: string): AsyncIterable<ArchivedEvent[]> {
  for (let [stream, version, most] = ['', 0, firstPage]; ; ) {
    const rows: EventRow[] = await db.query<EventRow>({
      text: `SELECT ${columns} FROM month_by_stream($1, $2, $3, $4)`,
      values: [firstDay(month), stream, version, most],
    });
    if (rows.length === 0) return;
    yield rows.map(toArchived);
    ({ stream, version } = rows.at(-1)!);
    most = nextPage(rows);
  }
}

/** As statements take a month. */
export const firstDay = (month: string): string => `${month}-01`;

/** The row of an archived month. */
export async function selectArchived(
  db: Transaction,
  month: string,
): Promise<(ArchivedMonth & { digest: string; events: number }) | undefined> {
  const [row] = await db.query<ArchivedMonth & { digest: string; events: number }>({
    text: `SELECT archive, path, manifest_hash AS hash, encode(digest, 'hex') AS digest, events FROM archived_months WHERE month = $1`,
    values: [firstDay(month)],
  });
  return row;
}
