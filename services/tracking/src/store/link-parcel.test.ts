/** Links that are made at the same time: each has looked before the other has written. */
import type { ParcelAttached } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parcelId } from '../domain/parcel-id.ts';
import { openWorld, type World } from '../testing/world.ts';
import { linkParcel } from './link-parcel.ts';

describeWith(['postgres'], 'links of parcels and shipments', () => {
  let world: World;
  /** Of another process, which holds the rows meanwhile. */
  let holder: World['database'];
  beforeAll(async () => {
    world = await openWorld();
    holder = world.open().database;
  }, 60_000);
  afterAll(() => world?.drop());

  const link = (trackingNumber: string, shipmentId: string, shipmentVersion: number) => {
    const shipment: ParcelAttached = {
      ...{ carrier: 'ACME', trackingNumber, shipmentId, shipmentVersion, orderId: 'o', customerId: 'ada' },
    };
    const of = { shipment, destination: 'DE', asked: new Set<string>(), now: new Date() };
    return linkParcel(world.database, parcelId('ACME', trackingNumber), of);
  };

  /** The shipments of these parcels, after links that began while the parcels' rows were locked, and have waited together. */
  async function linkedAtOnce(numbers: string[], begin: () => Promise<void>[]): Promise<(string | null)[]> {
    for (const number of numbers)
      await holder.query({
        text: `INSERT INTO parcels (parcel, carrier, carrier_key, tracking_number) VALUES ($1, 'ACME', 'acme', $2)`,
        values: [parcelId('ACME', number), number],
      });
    const links = await holder.transaction(async (tx) => {
      await tx.query({
        text: 'SELECT FROM parcels WHERE tracking_number = ANY ($1::text[]) FOR UPDATE',
        values: [numbers],
      });
      const begun = begin();
      await until(async () => {
        // Not by the transaction, which would see the same activity again.
        const [found] = await world.database.query<{ n: number }>({
          text: `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        });
        return found!.n === begun.length;
      });
      // The promises themselves would be waited for here, and they wait for the end of this.
      return { begun };
    });
    await Promise.all(links.begun);
    const rows = await holder.query<{ number: string; shipment: string | null }>({
      text: 'SELECT tracking_number AS number, shipment FROM parcels WHERE tracking_number = ANY ($1::text[])',
      values: [numbers],
    });
    return numbers.map((number) => rows.find((row) => row.number === number)!.shipment);
  }

  test('of two corrections of one shipment the later one has it, and the other parcel has none', async () => {
    expect(await linkedAtOnce(['a1', 'a2'], () => [link('a1', 's1', 2), link('a2', 's1', 3)])).toEqual([null, 's1']);
    expect(await linkedAtOnce(['b1', 'b2'], () => [link('b2', 's2', 3), link('b1', 's2', 2)])).toEqual([null, 's2']);
  });

  test('of two shipments with one number one has it, and the other changes nothing', async () => {
    const versions: Record<string, number> = { s3: 2, s4: 5 };
    const [first] = await linkedAtOnce(['c1'], () => Object.entries(versions).map((of) => link('c1', ...of)));
    const other = first === 's3' ? 's4' : 's3';
    await link('c1', other, versions[other]!);
    const [row] = await holder.query<{ shipment: string; version: number }>({
      text: `SELECT shipment, shipment_version AS version FROM parcels WHERE tracking_number = 'c1'`,
    });
    expect(row).toEqual({ shipment: first, version: versions[first!] });
  });
});
