/** Snapshots: the last one of each stream. They only save time, so no harm is done if one is lost or overwritten. */
import type { Transaction } from '@caudal/postgres/database.ts';
import type { Snapshot } from './types.ts';

export async function selectSnapshot(db: Transaction, stream: string): Promise<Snapshot | undefined> {
  const rows = await db.query<Snapshot>({
    name: 'eventlog-load-snapshot',
    text: 'SELECT version, schema_version AS "schemaVersion", data FROM snapshots WHERE stream = $1',
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
