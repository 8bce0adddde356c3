/** Snapshots: the last one of each stream. They only save time, so no harm is done if one is lost or overwritten. */
import type { Transaction } from '@caudal/postgres/database.ts';
import type { Snapshot } from './types.ts';

/** The stream's snapshot, and the log's epoch at that moment. */
export async function selectSnapshot(
  db: Transaction,
  stream: string,
): Promise<{ epoch: number; snapshot: Snapshot | undefined }> {
  const [row] = await db.query<Snapshot & { epoch: number; version: number | null }>({
    name: 'eventlog-load-snapshot',
    text: `SELECT l.epoch, s.version, s.schema_version AS "schemaVersion", s.data
      FROM log_epoch() l (epoch) LEFT JOIN snapshots s ON s.stream = $1`,
    values: [stream],
  });
  const { epoch, ...snapshot } = row!;
  return { epoch, snapshot: snapshot.version === null ? undefined : snapshot };
}

export async function selectSnapshotVersion(
  db: Transaction,
  stream: string,
): Promise<Omit<Snapshot, 'data'> | undefined> {
  const rows = await db.query<Omit<Snapshot, 'data'>>({
    name: 'eventlog-find-snapshot',
    text: 'SELECT version, schema_version AS "schemaVersion" FROM snapshots WHERE stream = $1',
    values: [stream],
  });
  return rows[0];
}

/** The snapshots of those streams that have one. */
export function selectSnapshots(db: Transaction, streams: string[]): Promise<(Snapshot & { stream: string })[]> {
  return db.query({
    name: 'eventlog-snapshots',
    text: `SELECT stream, version, schema_version AS "schemaVersion", data FROM snapshots
      WHERE stream = ANY($1::text[]) ORDER BY stream`,
    values: [streams],
  });
}

/** Stores the snapshot, unless there is a newer one of the same schema version. `isOtherEpoch` if the log is not in this epoch. */
export async function upsertSnapshot(
  db: Transaction,
  stream: string,
  { version, schemaVersion, data, epoch }: Snapshot & { epoch: number },
): Promise<void> {
  await db.query({
    name: 'eventlog-save-snapshot',
    text: `INSERT INTO snapshots AS s (stream, version, schema_version, data) SELECT $1, $2, $3, $4
      WHERE in_epoch($5, true)
      ON CONFLICT (stream) DO UPDATE
      SET version = excluded.version, schema_version = excluded.schema_version, data = excluded.data
      WHERE s.version < excluded.version OR s.schema_version <> excluded.schema_version`,
    values: [stream, version, schemaVersion, data, epoch],
  });
}
