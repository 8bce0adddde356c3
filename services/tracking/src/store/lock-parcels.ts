/**
 * Locks the rows of parcels until the end of the transaction, and reads what they come to. A state has up to 180 kB, so those of a batch
 * are read in slices that are bounded in bytes. Most are small: all of them come with the lock then, in one slice.
 */
import { uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';

export interface LockedParcel {
  parcel: string;
  carrier: string;
  trackingNumber: string;
  revision: number;
  firstAt: Date | null;
  lastAt: Date | null;
  /** Null if there is none, or if it was too large to come with the lock. */
  state: string | null;
  stateBytes: number;
  /** The country that its shipment goes to. */
  destination: string | null;
  /** Whether its transit was learnt. */
  learnt: boolean;
}

/**
 * Those that are there, by id. In the order of their ids, so that two batches never wait for each other in a circle. States come with
 * it as long as they can't be more than `stateBytes` in all.
 */
export async function lockParcels(
  tx: Transaction,
  ids: readonly string[],
  stateBytes: number,
): Promise<Map<string, LockedParcel>> {
  const rows = await tx.query<LockedParcel>({
    name: 'tracking-lock',
    text: `SELECT parcel::text, carrier, tracking_number AS "trackingNumber", revision, first_at AS "firstAt", last_at AS "lastAt",
        CASE WHEN octet_length(state) <= $2 THEN state END AS state, coalesce(octet_length(state), 0) AS "stateBytes", destination, learnt
      FROM parcels WHERE parcel = ANY ($1::uuid[]) ORDER BY parcels.parcel FOR UPDATE`,
    values: [uuidArray([...ids]), Math.floor(stateBytes / Math.max(1, ids.length))],
  });
  return new Map(rows.map((row) => [row.parcel, row]));
}

/** Divides them so that the states of each slice have at most so many bytes, or are one. There is one slice at least. */
export function slicesOf(parcels: Iterable<LockedParcel>, stateBytes: number): LockedParcel[][] {
  const slices: LockedParcel[][] = [[]];
  let bytes = 0;
  for (const parcel of parcels) {
    bytes += parcel.stateBytes;
    if (bytes > stateBytes && slices.at(-1)!.length > 0) {
      slices.push([]);
      bytes = parcel.stateBytes;
    }
    slices.at(-1)!.push(parcel);
  }
  return slices;
}

/** The same parcels with their states, by id. They are locked. */
export async function withStates(
  tx: Transaction,
  parcels: readonly LockedParcel[],
): Promise<Map<string, LockedParcel>> {
  const byId = new Map(parcels.map((parcel) => [parcel.parcel, parcel]));
  const large = parcels.filter(({ state, stateBytes }) => state === null && stateBytes > 0);
  if (large.length === 0) return byId;
  const rows = await tx.query<{ parcel: string; state: string }>({
    name: 'tracking-states',
    text: 'SELECT parcel::text, state FROM parcels WHERE parcel = ANY ($1::uuid[])',
    values: [uuidArray(large.map(({ parcel }) => parcel))],
  });
  for (const { parcel, state } of rows) byId.set(parcel, { ...byId.get(parcel)!, state });
  return byId;
}
