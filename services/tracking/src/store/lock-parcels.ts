/** Locks the rows of parcels until the end of the transaction, and makes those that are missing. */
import { textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { carrierKey } from '../domain/parcel-id.ts';

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

interface Named {
  parcel: string;
  carrier: string;
  trackingNumber: string;
}

/** By id. In the order of their ids, so that two batches never wait for each other in a circle. */
export async function lockParcels(tx: Transaction, named: readonly Named[]): Promise<Map<string, LockedParcel>> {
  const wanted = new Map(named.toReversed().map((one) => [one.parcel, one]));
  const found = await lock(tx, [...wanted.keys()]);
  const missing = [...wanted.values()].filter(({ parcel }) => !found.has(parcel));
  if (missing.length === 0) return found;
  await tx.query({
    name: 'tracking-new-parcels',
    text: `INSERT INTO parcels (parcel, carrier, carrier_key, tracking_number)
      SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) u(parcel) ORDER BY u.parcel ON CONFLICT DO NOTHING`,
    values: [
      uuidArray(missing.map(({ parcel }) => parcel)),
      textArray(missing.map(({ carrier }) => carrier)),
      textArray(missing.map(({ carrier }) => carrierKey(carrier))),
      textArray(missing.map(({ trackingNumber }) => trackingNumber)),
    ],
  });
  // Another transaction may have made some of them, and changed them since.
  const made = await lock(
    tx,
    missing.map(({ parcel }) => parcel),
  );
  return new Map([...found, ...made]);
}

async function lock(tx: Transaction, ids: string[]): Promise<Map<string, LockedParcel>> {
  const rows = await tx.query<LockedParcel>({
    name: 'tracking-lock',
    text: `SELECT parcel::text, carrier, tracking_number AS "trackingNumber", revision, first_at AS "firstAt", last_at AS "lastAt", state,
        destination, learnt
      FROM parcels WHERE parcel = ANY ($1::uuid[]) ORDER BY parcels.parcel FOR UPDATE`,
    values: [uuidArray(ids)],
  });
  return new Map(rows.map((row) => [row.parcel, row]));
}
