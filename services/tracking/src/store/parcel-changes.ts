/**
 * Changes of status that have to become events: the table `parcel_changes`. A parcel has one taker at a time, since a taker that is
 * late would make an event of a status that is gone by now.
 */
import type { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { int4Array, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Database } from '@caudal/postgres/database.ts';

export interface TakenChange {
  parcel: string;
  carrier: string;
  trackingNumber: string;
  status: ParcelStatus;
  subStatus: string;
  since: Date | null;
  /** Of the parcel's row. */
  revision: number;
  /** Until when no other taker gets it; it tells this taking from others. */
  takenUntil: string;
}

/** How long others leave what was taken. */
export const takenForMs = 30_000;

/** Takes at most so many that nobody has taken. */
export function takeChanges(database: Database, limit: number): Promise<TakenChange[]> {
  return database.query<TakenChange>({
    name: 'tracking-take-changes',
    text: `UPDATE parcel_changes SET taken_until = now() + interval '${takenForMs} milliseconds' WHERE parcel IN (
        SELECT parcel FROM parcel_changes WHERE taken_until < now() LIMIT $1 FOR UPDATE SKIP LOCKED)
      RETURNING parcel::text, carrier, tracking_number AS "trackingNumber", status, sub_status AS "subStatus", since, revision,
        taken_until::text AS "takenUntil"`,
    values: [limit],
  });
}

/** What was taken is dealt with. `added`: whether an event was made of it. */
export async function endChanges(
  database: Database,
  changes: readonly { change: TakenChange; added: boolean }[],
): Promise<void> {
  const all = changes.map(({ change }) => change);
  const ended = all.length > 0 ? await deleteChanges(database, all) : new Set<string>();
  const others = all.filter(({ parcel }) => !ended.has(parcel));
  if (others.length === 0) return;
  const released = await releaseChanges(database, others);
  const lost = changes.filter(({ change: { parcel }, added }) => added && !ended.has(parcel) && !released.has(parcel));
  if (lost.length > 0)
    await noteAgain(
      database,
      lost.map(({ change }) => change.parcel),
    );
}

/** The rows of these takings, locked in the order that batches write them in. */
const ownRows = `own AS (
  SELECT c.parcel FROM parcel_changes c JOIN unnest($1::uuid[], $2::text[], $3::int4[]) u(parcel, taken_until, revision)
    ON c.parcel = u.parcel AND c.taken_until = u.taken_until::timestamptz`;

const takings = (changes: readonly TakenChange[]) => [
  uuidArray(changes.map(({ parcel }) => parcel)),
  textArray(changes.map(({ takenUntil }) => takenUntil)),
  int4Array(changes.map(({ revision }) => revision)),
];

async function deleteChanges(database: Database, changes: readonly TakenChange[]): Promise<Set<string>> {
  const rows = await database.query<{ parcel: string }>({
    name: 'tracking-end-changes',
    text: `WITH ${ownRows} AND c.revision = u.revision ORDER BY c.parcel FOR UPDATE OF c)
      DELETE FROM parcel_changes c USING own WHERE c.parcel = own.parcel RETURNING c.parcel::text`,
    values: takings(changes),
  });
  return new Set(rows.map(({ parcel }) => parcel));
}

/** Those that have changed again meanwhile can be taken at once. */
async function releaseChanges(database: Database, changes: readonly TakenChange[]): Promise<Set<string>> {
  const rows = await database.query<{ parcel: string }>({
    name: 'tracking-release-changes',
    text: `WITH ${ownRows} ORDER BY c.parcel FOR UPDATE OF c)
      UPDATE parcel_changes c SET taken_until = '-infinity' FROM own WHERE c.parcel = own.parcel RETURNING c.parcel::text`,
    values: takings(changes),
  });
  return new Set(rows.map(({ parcel }) => parcel));
}

/**
 * Another taker had these when the event was added, and may have found nothing to do: the status was the stream's last one then. So what the
 * parcel's row says is noted once more. If it is noted, its taker does not delete it.
 */
async function noteAgain(database: Database, parcels: readonly string[]): Promise<void> {
  await database.query({
    name: 'tracking-note-again',
    text: `INSERT INTO parcel_changes (parcel, carrier, tracking_number, status, sub_status, since, revision)
      SELECT parcel, carrier, tracking_number, status, coalesce(state::json ->> 'subStatus', ''),
        to_timestamp((state::json ->> 'statusAt')::float8 / 1000), revision
      FROM parcels WHERE parcel = ANY ($1::uuid[]) ORDER BY parcels.parcel
      ON CONFLICT (parcel) DO UPDATE SET taken_until = '-infinity'`,
    values: [uuidArray([...parcels])],
  });
}
