/** For tests: a log as version 0.2 made it, and a client that appends and reads as that version did. */
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sleep } from '@caudal/kernel/time.ts';
import { booleanArray, byteaArray, int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { isBusyError } from '@caudal/postgres/errors.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '../migrations.ts';
import type { Append, RecordedEvent } from '../types.ts';

/** Migrates the schema up to this file; without one as far as version 0.2 did. */
export async function migrateBefore(url: string, schema: string, file = '005'): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'caudal-former-'));
  try {
    for (const each of await readdir(migrations.directory))
      if (each < file) await cp(new URL(each, migrations.directory), join(directory, each));
    await migrate({ url, schema, sets: [{ name: migrations.name, directory: pathToFileURL(`${directory}/`) }] });
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** The rows of the function: a batch's, then those of what has not landed. */
export interface FormerRow {
  n: number | null;
  verdict: 'batch' | 'conflict' | 'duplicate' | 'reused' | 'missing';
  position: number;
  recordedAt: Date;
  version: number;
  stream: string;
  reply: Buffer;
  versions: (number | null)[];
}

/** One call of append() as version 0.2 made it. */
export function formerAppend(db: Transaction, batch: Append[]): Promise<FormerRow[]> {
  const events = batch.flatMap((append) => append.events);
  const expected = ({ expected: version }: Append) =>
    version === 'must-exist' ? -1 : version === 'any' ? -2 : version;
  return db.query<FormerRow>({
    name: 'eventlog-append',
    text: `SELECT n, verdict, position, recorded_at AS "recordedAt", version, stream, reply, event_id AS "eventId", type,
      schema_version AS "schemaVersion", metadata, data, waited_seconds AS "waitedSeconds", versions
    FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [
      batch.some((append) => append.events.length > 0 || append.command?.reply !== undefined),
      textArray(batch.map(({ stream }) => stream)),
      int4Array(batch.map(expected)),
      booleanArray(batch.map(() => false)),
      int4Array(batch.map((append) => append.events.length)),
      uuidArray(batch.map(({ command }) => command?.key ?? null)),
      byteaArray(batch.map(({ command }) => command?.hash ?? null)),
      byteaArray(batch.map(({ command }) => command?.reply ?? null)),
      int4Array(batch.flatMap((append, index) => append.events.map(() => index + 1))),
      int4Array(batch.flatMap((append) => append.events.map((_, place) => place + 1))),
      uuidArray(events.map(({ eventId }) => eventId)),
      textArray(events.map(({ type }) => type)),
      int4Array(events.map(({ schemaVersion }) => schemaVersion)),
      byteaArray(events.map(({ metadata }) => metadata)),
      byteaArray(events.map(({ data }) => data)),
    ],
  });
}

/** The same, sent again while the server says that it was busy, as version 0.2 did. */
export async function insistFormer(db: Transaction, batch: Append[]): Promise<FormerRow[]> {
  for (;;) {
    try {
      return await formerAppend(db, batch);
    } catch (error) {
      if (!isBusyError(error)) throw error;
      await sleep(20);
    }
  }
}

const columns = `e.position, e.stream, e.version, e.event_id AS "eventId", e.type, e.schema_version AS "schemaVersion",
  e.metadata, e.data, e.recorded_at AS "recordedAt"`;

/** Events after a position, as version 0.2 read them. */
export function formerReadLog(
  db: Transaction,
  after: number,
  limit: number,
): Promise<(RecordedEvent & { head: number })[]> {
  return db.query({
    name: 'eventlog-read-log',
    text: `SELECT h.position AS head, ${columns}
    FROM head h
    LEFT JOIN LATERAL (
      SELECT * FROM events e
      WHERE e.position > $1 AND e.recorded_at >= coalesce($2::timestamptz, '-infinity')
      ORDER BY e.position LIMIT $3
    ) e ON true
    ORDER BY e.position`,
    values: [after, null, limit],
  });
}

/** Events of streams, as version 0.2 read them. */
export function formerReadStreams(db: Transaction, streams: string[]): Promise<RecordedEvent[]> {
  return db.query({
    name: 'eventlog-read-streams',
    text: `SELECT ${columns}
      FROM unnest($1::text[], $2::int[]) AS c(stream, after)
      CROSS JOIN LATERAL (SELECT * FROM streams s WHERE s.stream = c.stream AND s.version > c.after LIMIT 1) s
      CROSS JOIN LATERAL (
        SELECT * FROM events e
        WHERE e.stream = c.stream AND e.version > c.after
          AND e.recorded_at >= s.created_at AND e.recorded_at <= s.updated_at
        ORDER BY e.version LIMIT $3
      ) e
      ORDER BY e.stream, e.version LIMIT $3`,
    values: [textArray(streams), int4Array(streams.map(() => 0)), 1_000],
  });
}
