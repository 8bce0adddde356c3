/** The statements about months of traces that leave, or have left. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** Where a part of a month is in the archive. */
export interface ArchivedPart {
  /** `2023-03` */
  month: string;
  part: number;
  /** The archive that it was written to, and where its objects are there. */
  archive: string;
  path: string;
  hash: Buffer;
}

export const columnsOfPart = `to_char(a.month, 'YYYY-MM') AS month, a.part, a.archive, a.path, a.manifest_hash AS hash`;

/** As statements take a month. */
export const firstDay = (month: string): string => `${month}-01`;

/** The partition of a month, and what its table is called after it was detached. Only of a month that the database has given. */
export const tableOf = (month: string): string => `traces_${month.replace('-', '_')}`;
export const formerTableOf = (month: string, part: number): string => `${tableOf(month)}_part_${part}`;

/** How long traces that came late wait for others, before their month leaves once more. */
const lateDays = 30;

/**
 * The months that are due, the oldest first, each with its next part: they ended so many whole months before the present one, have a
 * partition, no part that left lately, and were not put back lately.
 */
export function selectDue(
  db: Transaction,
  { now, afterMonths }: { now: Date; afterMonths: number },
): Promise<{ month: string; part: number }[]> {
  return db.query<{ month: string; part: number }>({
    text: `SELECT to_char(p.month, 'YYYY-MM') AS month, coalesce(a.part, 0) + 1 AS part
      FROM (
        SELECT (replace(right(c.relname, 7), '_', '-') || '-01')::date AS month FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'traces'::regclass AND c.relname ~ '^traces_[0-9]{4}_[0-9]{2}$'
      ) p
      LEFT JOIN LATERAL (SELECT max(m.part) AS part, max(m.archived_at) AS at, max(m.stays_until) AS until FROM archived_trace_months m WHERE m.month = p.month) a ON true
      WHERE (p.month + make_interval(months => $2 + 1)) AT TIME ZONE 'UTC' <= $1
        AND (a.at IS NULL OR a.at <= $1::timestamptz - make_interval(days => $3)) AND (a.until IS NULL OR a.until <= $1)
      ORDER BY p.month`,
    values: [now, afterMonths, lateDays],
  });
}

/** Parts whose tables are not dropped yet. */
export function selectUndropped(db: Transaction): Promise<ArchivedPart[]> {
  return db.query<ArchivedPart>({
    text: `SELECT ${columnsOfPart} FROM archived_trace_months a
      WHERE to_regclass(format('%I.%I', current_schema(), 'traces_' || month_suffix(a.month) || '_part_' || a.part)) IS NOT NULL
      ORDER BY a.month, a.part`,
  });
}
