/** Locks the rows of parcels until the end of the transaction. */
import { uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';

export interface LockedParcel {
  parcel: string;
  carrier: string;
  trackingNumber: string;
  revision: number;
  firstAt: Date | null;
  lastAt: Date | null;
  state: string | null;
  /** The country that its shipment goes to. */
  destination: string | null;
  /** Whether its transit was learnt. */
  learnt: boolean;
}

/** Those that are there, by id. In the order of their ids, so that two batches never wait for each other in a circle. */
export async function lockParcels(tx: Transaction, ids: readonly string[]): Promise<Map<string, LockedParcel>> {
  const rows = await tx.query<LockedParcel>({
    name: 'tracking-lock',
    text: `SELECT parcel::text, carrier, tracking_number AS "trackingNumber", revision, first_at AS "firstAt", last_at AS "lastAt", state,
        destination, learnt
      FROM parcels WHERE parcel = ANY ($1::uuid[]) ORDER BY parcels.parcel FOR UPDATE`,
    values: [uuidArray([...ids])],
  });
  return new Map(rows.map((row) => [row.parcel, row]));
}
