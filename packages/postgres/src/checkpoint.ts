/**
 * A checkpoint with a lease, in one row: one worker at a time moves a position on. A worker that has lost the lease is
 * refused. Work under a lease must be safe to do twice. See README, Leases and the clock.
 */
import type { Transaction } from './database.ts';

/** A lease that lasts longer than this is void: the clock was set back after it was taken. */
const longestLease = "greatest($3 * 10, 60000) * interval '1 millisecond'";

export interface Lease {
  epoch: number;
  position: number;
  /** Of which epoch of the log the position is (docs/fail-over.md), 0 for the first, and after which position that began. */
  logEpoch: number;
  logEpochAfter: number;
}

/** Names a lease that was taken: `epoch` ends when another worker takes it. */
export interface Fence {
  name: string;
  epoch: number;
}

/**
 * The condition with which a statement holds a fence: its lease is not another worker's, and stays so until the statement
 * is committed. `name`, `epoch`: the statement's parameters, `$1`.
 */
export const holdsFence = (name: string, epoch: string): string =>
  `EXISTS (SELECT FROM checkpoints WHERE name = ${name} AND epoch = ${epoch} AND holder IS NOT NULL FOR SHARE)`;

/**
 * Takes the lease if it is free, expired, or already `holder`'s. Undefined if another worker holds it. `holder` must be
 * unique to the running process (not only the pod's or host's name), since a worker that finds its own name keeps its
 * old epoch. Every change of holder begins a new epoch, which is on disk before it is returned.
 */
export async function acquire(
  db: Transaction,
  { name, holder, ttlMs }: { name: string; holder: string; ttlMs: number },
): Promise<Lease | undefined> {
  const rows = await db.query<Lease>({
    name: 'checkpoint-acquire',
    text: `INSERT INTO checkpoints AS c (name, epoch, holder, lease_until)
      SELECT $1, 1, $2, clock_timestamp() + $3 * interval '1 millisecond'
      WHERE set_config('synchronous_commit', 'on', true) = 'on'
      ON CONFLICT (name) DO UPDATE SET
        epoch = c.epoch + CASE WHEN c.holder = excluded.holder THEN 0 ELSE 1 END,
        holder = excluded.holder,
        lease_until = clock_timestamp() + $3 * interval '1 millisecond'
      WHERE c.holder IS NULL OR c.holder = excluded.holder
        OR c.lease_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + ${longestLease}
      RETURNING epoch, position, log_epoch AS "logEpoch", log_epoch_after AS "logEpochAfter"`,
    values: [name, holder, ttlMs],
  });
  return rows[0];
}

/**
 * Renews the lease and moves the position, never backwards. False if the lease is lost (another epoch has begun, or it
 * was released), or if the checkpoint is of another epoch of the log than `logEpoch`; then nothing has changed. A lease that has
 * expired but was not taken by another worker is still valid.
 */
export async function advance(
  db: Transaction,
  { name, epoch, position, ttlMs, logEpoch }: Fence & { position?: number; ttlMs: number; logEpoch?: number },
): Promise<boolean> {
  const rows = await db.query({
    name: 'checkpoint-advance',
    text: `UPDATE checkpoints SET
        position = greatest(position, $3),
        lease_until = clock_timestamp() + $4 * interval '1 millisecond'
      WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL AND log_epoch = coalesce($5, log_epoch)
      RETURNING name`,
    values: [name, epoch, position ?? null, ttlMs, logEpoch ?? null],
  });
  return rows.length > 0;
}

/**
 * Moves the checkpoint to another epoch of its log, and back to the position up to which that has kept what was before. False
 * if the lease is lost.
 */
export async function setBack(
  db: Transaction,
  { name, epoch, position, logEpoch }: Fence & { position: number; logEpoch: { number: number; after: number } },
): Promise<boolean> {
  const rows = await db.query({
    name: 'checkpoint-set-back',
    text: `UPDATE checkpoints SET position = least(position, $3), log_epoch = $4, log_epoch_after = $5
      WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL
      RETURNING name`,
    values: [name, epoch, position, logEpoch.number, logEpoch.after],
  });
  return rows.length > 0;
}

/** Moves checkpoints that no lease guards back to a position, if they are ahead of it. */
export async function lower(db: Transaction, names: string[], position: number): Promise<void> {
  await db.query({
    name: 'checkpoint-lower',
    text: 'UPDATE checkpoints SET position = $2 WHERE name = ANY ($1::text[]) AND position > $2',
    values: [names, position],
  });
}

/** Releases the lease, so that the next worker need not wait until it expires. Does nothing if the lease is lost. */
export async function release(db: Transaction, { name, epoch }: Fence): Promise<void> {
  await db.query({
    name: 'checkpoint-release',
    text: "UPDATE checkpoints SET holder = NULL, lease_until = '-infinity' WHERE name = $1 AND epoch = $2",
    values: [name, epoch],
  });
}

/** Whether a worker holds the lease at this moment. */
export async function isHeld(db: Transaction, name: string): Promise<boolean> {
  const rows = await db.query({
    name: 'checkpoint-held',
    text: 'SELECT 1 FROM checkpoints WHERE name = $1 AND holder IS NOT NULL AND lease_until > clock_timestamp()',
    values: [name],
  });
  return rows.length > 0;
}

/** The position of a checkpoint; 0 if there is none. */
export async function position(db: Transaction, name: string): Promise<number> {
  const rows = await db.query<{ position: number }>({
    name: 'checkpoint-position',
    text: 'SELECT position FROM checkpoints WHERE name = $1',
    values: [name],
  });
  return rows[0]?.position ?? 0;
}
