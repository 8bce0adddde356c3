/** What is learnt from parcels that have arrived, on the real PostgreSQL: once each, and shown of those that follow. */
import {
  EstimateSource,
  EstimateSureness,
  type Parcel,
  ParcelStatus,
  type Trace,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { forgetTransits } from './store/transit-sketches.ts';
import { openWorld, trace, type World } from './testing/world.ts';

const { PARCEL_STATUS_IN_TRANSIT: IN_TRANSIT, PARCEL_STATUS_DELIVERED: DELIVERED } = ParcelStatus;
const dayMs = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * dayMs);

describeWith(['postgres'], 'when a parcel arrives', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
    world.work();
  }, 60_000);
  afterAll(() => world?.drop());

  const scan = (carrier: string, number: string, days: number, status: ParcelStatus, country: string): Trace =>
    trace(number, 0, { carrier, status, happenTime: daysAgo(days), place: { name: '', country, position: undefined } });
  const send = (...traces: Trace[]) => world.api.recordTraces({ traces }, testCall());
  const page = (carrier: string, trackingNumber: string): Promise<Parcel> =>
    world.queries.getParcel({ carrier, trackingNumber, readMask: undefined }, testCall());
  const written = (carrier: string, number: string, traces: number) =>
    until(async () => (await page(carrier, number).catch(() => undefined))?.traceCount === traces);

  /** How many parcels were learnt, by the kind of the key. */
  async function learnt(carrier: string): Promise<Record<string, number>> {
    const rows = await world.database.query<{ key: string; n: number }>({
      text: `SELECT key, sum((SELECT sum(d) FROM unnest(days) d))::int AS n FROM transit_sketches WHERE key LIKE $1 GROUP BY key`,
      values: [`%"${carrier}"%`],
    });
    return Object.fromEntries(rows.map(({ key, n }) => [(JSON.parse(key) as string[])[0], n]));
  }

  test('each delivery is learnt once, in whatever order and however often its traces come', async () => {
    const moved = scan('once', 'o1', 6, IN_TRANSIT, 'IT');
    const delivered = scan('once', 'o1', 4, DELIVERED, 'FR');
    await send(delivered);
    await written('once', 'o1', 1);
    // It does not say yet how long it took.
    expect(await learnt('once')).toEqual({});
    await send(moved, delivered);
    await written('once', 'o1', 2);
    expect(await learnt('once')).toEqual({ lane: 1, destination: 1, carrier: 1 });
    await send(moved, delivered, scan('once', 'o1', 5, IN_TRANSIT, 'FR'), scan('once', 'o1', 3, DELIVERED, 'FR'));
    await written('once', 'o1', 4);
    expect(await learnt('once')).toEqual({ lane: 1, destination: 1, carrier: 1 });
  });

  test('a page says when a parcel arrives: what its carrier says, else what was learnt, with how sure', async () => {
    const numbers = Array.from({ length: 25 }, (_, n) => `s${n}`);
    await send(
      ...numbers.flatMap((number) => [
        scan('sure', number, 12, IN_TRANSIT, 'IT'),
        scan('sure', number, 9, DELIVERED, 'FR'),
      ]),
    );
    for (const number of numbers) await written('sure', number, 2);
    expect(await learnt('sure')).toEqual({ lane: 25, destination: 25, carrier: 25 });

    await send(scan('sure', 'next', 0, IN_TRANSIT, 'IT'));
    await written('sure', 'next', 1);
    const { estimate } = await page('sure', 'next');
    expect(estimate).toMatchObject({
      source: EstimateSource.ESTIMATE_SOURCE_LEARNT,
      sureness: EstimateSureness.ESTIMATE_SURENESS_MEDIUM,
      ...{ samples: 25, spreadDays: 0, late: false },
    });
    expect(estimate!.likelyTime!.getTime()).toBeGreaterThan(Date.now());
    expect(estimate!.likelyTime!.getTime()).toBeLessThan(Date.now() + 8 * dayMs);

    const eta = new Date(Date.now() + 2 * dayMs);
    await send({ ...scan('sure', 'next', 0, IN_TRANSIT, 'IT'), eta, detail: 'expected' });
    await written('sure', 'next', 2);
    expect((await page('sure', 'next')).estimate).toMatchObject({
      source: EstimateSource.ESTIMATE_SOURCE_CARRIER,
      ...{ earliestTime: eta, likelyTime: eta, latestTime: eta, samples: 0 },
    });
    // One that has arrived, and one of which nothing is known, have none.
    expect((await page('sure', 's1')).estimate).toBeUndefined();
    await send(scan('unheard', 'u1', 0, IN_TRANSIT, 'IT'));
    await written('unheard', 'u1', 1);
    expect((await page('unheard', 'u1')).estimate).toBeUndefined();
  });

  test('what is older than twelve months is not learnt, and is forgotten', async () => {
    await send(scan('old', 'x1', 420, IN_TRANSIT, 'IT'), scan('old', 'x1', 417, DELIVERED, 'FR'));
    await written('old', 'x1', 2);
    expect(await learnt('old')).toEqual({});
    await world.database.query({
      text: `INSERT INTO transit_sketches VALUES ('["carrier","old"]', (now() - interval '14 months')::date, '{1}', '{1}')`,
    });
    await forgetTransits(world.database);
    expect(await learnt('old')).toEqual({});
  });
});
