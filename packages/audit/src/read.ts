/** Reads of the audit log. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { parseBody } from './body.ts';
import type { AuditRecord, Kind } from './types.ts';

/** A row. The columns beside `body` are copies, by which it is found. */
export interface StoredRecord {
  position: number;
  recordedAt: Date;
  kind: string;
  subject: string;
  method: string;
  resource: string;
  writer: string;
  /** The server and its timeline. */
  place: string;
  body: string;
  hash: Buffer;
}

const columns = 'position, recorded_at AS "recordedAt", kind, subject, method, resource, writer, place, body, hash';

/** The record in a row. */
export function recordOf({ position, recordedAt, writer, hash, body }: StoredRecord): AuditRecord {
  return { ...parseBody(body), position, recordedAt, writer, hash };
}

/** Records after a position, the oldest first. */
export function selectFrom(
  db: Transaction,
  { after, limit }: { after: number; limit: number },
): Promise<StoredRecord[]> {
  return db.query<StoredRecord>({
    text: `SELECT ${columns} FROM caudal_audit.records WHERE position > $1 ORDER BY position LIMIT $2`,
    values: [after, limit],
  });
}

/** The end of the last month that was dropped, if there is one. */
export function selectDropped(db: Transaction): Promise<{ position: number; hash: Buffer }[]> {
  return db.query({ text: 'SELECT position, hash FROM caudal_audit.dropped ORDER BY position DESC LIMIT 1' });
}

export interface AuditQuery {
  kind?: Kind | undefined;
  subject?: string | undefined;
  method?: string | undefined;
  resource?: string | undefined;
  /** From this time on, and before this one, by the database's clock. */
  from?: Date | undefined;
  until?: Date | undefined;
  /** Only records before this position. */
  before?: number | undefined;
  limit: number;
}

/** Records, the newest first. */
export async function findRecords(db: Transaction, query: AuditQuery): Promise<AuditRecord[]> {
  const values: unknown[] = [];
  const where: string[] = [];
  const add = (condition: string, value: unknown) => {
    if (value === undefined) return;
    values.push(value);
    where.push(`${condition} $${values.length}`);
  };
  add('kind =', query.kind);
  add('subject =', query.subject);
  add('method =', query.method);
  add('resource =', query.resource);
  add('recorded_at >=', query.from);
  add('recorded_at <', query.until);
  add('position <', query.before);
  values.push(query.limit);
  const rows = await db.query<StoredRecord>({
    text: `SELECT ${columns} FROM caudal_audit.records ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''}
      ORDER BY position DESC LIMIT $${values.length}`,
    values,
  });
  return rows.map(recordOf);
}
