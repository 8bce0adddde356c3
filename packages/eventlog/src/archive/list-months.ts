/** Where each month of a log is, for operators. */
import type { Transaction } from '@caudal/postgres/database.ts';

export interface ListedMonth {
  /** `2024-03` */
  month: string;
  /**
   * `leaving`: the events are read from the archive, and their table is not dropped yet. `returning`: the same, while the month
   * is being put back, or if that was interrupted.
   */
  where: 'database' | 'archive' | 'leaving' | 'returning';
  /** The position of its first event, and how many there are. */
  from: number;
  events: number;
  /** Of the table with its indexes; of the objects in the archive. 0 where it is not. */
  databaseBytes: number;
  archiveBytes: number;
  /** Where its objects are, below CAUDAL_ARCHIVE. */
  path: string | null;
  archivedAt: Date | null;
  /** Where its objects were before it was put back, the oldest first: backups from before then still need them. */
  formerPaths: string[];
  /** Of a month that was put back: until when it stays. */
  staysUntil: Date | null;
}

/** The months that have events, the oldest first. */
export function listMonths(db: Transaction): Promise<ListedMonth[]> {
  return db.query<ListedMonth>({
    text: `SELECT to_char(m.month, 'YYYY-MM') AS month,
        CASE WHEN a.month IS NULL THEN 'database' WHEN t.size IS NULL THEN 'archive'
          WHEN r.until > log_clock() THEN 'returning' ELSE 'leaving' END AS where,
        m.after + 1 AS from, coalesce(m.end, (SELECT e.position FROM log_end() e)) - m.after AS events,
        coalesce(t.size, 0) AS "databaseBytes", coalesce(a.bytes, 0) AS "archiveBytes", a.path, a.archived_at AS "archivedAt",
        CASE WHEN r.until > log_clock() THEN r.until END AS "staysUntil",
        ARRAY(SELECT f.path FROM former_archives f WHERE f.month = m.month ORDER BY f.ended_at) AS "formerPaths"
      FROM (SELECT month, after, lead(after) OVER (ORDER BY month) AS end FROM months) m
      LEFT JOIN archived_months a ON a.month = m.month
      LEFT JOIN restored_months r ON r.month = m.month
      CROSS JOIN LATERAL (
        SELECT pg_total_relation_size(to_regclass(current_schema() || '.events_' || month_suffix(m.month))) AS size
      ) t
      ORDER BY m.month`,
  });
}
