/** Names the shipment in its parcel's row, so that one read answers its buyer. */
import type { ParcelAttached } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { carrierKey } from '../domain/parcel-id.ts';
import { beginPolls } from './carrier-polls.ts';
import { nameParcel } from './parcel-places.ts';

export interface Link {
  shipment: ParcelAttached;
  /** The country that the shipment goes to; undefined if that is no country. */
  destination: string | undefined;
  /** Whether carriers are asked for their parcels, by the key of the carrier. */
  asked: ReadonlySet<string>;
  now: Date;
}

/** Links the parcel with the shipment, and unlinks the shipment's former parcel. A repeat, or an older version, changes nothing. */
export async function linkParcel(
  database: Database,
  parcel: string,
  { shipment, destination, asked, now }: Link,
): Promise<void> {
  const { carrier, trackingNumber, shipmentId, orderId, customerId, shipmentVersion } = shipment;
  await database.transaction(async (tx) => {
    // Two corrections of one shipment are the work of two sagas. The later one counts, whichever comes first.
    await tx.query({
      text: `SELECT pg_advisory_xact_lock(hashtextextended('shipment ' || $1, 0))`,
      values: [shipmentId],
    });
    const later = await tx.query({
      text: `SELECT 1 FROM parcels WHERE shipment = $1 AND parcel <> $2 AND shipment_version > $3`,
      values: [shipmentId, parcel, shipmentVersion],
    });
    if (later.length > 0) return;
    await tx.query({
      text: `UPDATE parcels SET shipment = NULL, order_id = NULL, customer = NULL
        WHERE shipment = $1 AND parcel <> $2 AND shipment_version < $3`,
      values: [shipmentId, parcel, shipmentVersion],
    });
    await tx.query({
      text: `INSERT INTO parcels AS p (parcel, carrier, carrier_key, tracking_number, shipment, order_id, customer, shipment_version, destination)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (parcel) DO UPDATE SET carrier = excluded.carrier, tracking_number = excluded.tracking_number,
          shipment = excluded.shipment, order_id = excluded.order_id, customer = excluded.customer,
          shipment_version = excluded.shipment_version, destination = excluded.destination
        WHERE p.shipment IS NULL OR p.shipment = excluded.shipment`,
      values: [
        ...[parcel, carrier, carrierKey(carrier), trackingNumber],
        ...[shipmentId, orderId, customerId, shipmentVersion, destination ?? null],
      ],
    });
    await nameParcel(tx, parcel, trackingNumber);
    if (asked.has(carrierKey(carrier))) await beginPolls(tx, { parcel, shipmentId, now });
  });
}

/** Unlinks the parcel from this shipment. */
export async function unlinkParcel(database: Transaction, parcel: string, shipmentId: string): Promise<void> {
  await database.query({
    text: `UPDATE parcels SET shipment = NULL, order_id = NULL, customer = NULL WHERE parcel = $1 AND shipment = $2`,
    values: [parcel, shipmentId],
  });
}
