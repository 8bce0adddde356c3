/** The job that asks carriers, on the real PostgreSQL, against a small carrier of the format caudal. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig } from '@caudal/config/config.ts';
import type { ParcelAttached } from '@caudal/contract/gen/caudal/tracking/v1/events.ts';
import { ParcelStatus, type RecordTracesRequest } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { silentDays } from '../carriers/poll-plan.ts';
import { parcelId } from '../domain/parcel-id.ts';
import { settings } from '../settings.ts';
import { linkParcel } from '../store/link-parcel.ts';
import { openWorld, type World } from '../testing/world.ts';
import { carrierPolls } from './carrier-polls.ts';

const minute = 60_000;

describeWith(['postgres'], 'the job that asks carriers', () => {
  let world: World;
  /** What the carrier says of a parcel, by carrier and number; a carrier that is not here hangs. */
  let says: Map<string, object[]>;
  let asked: string[];
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://carrier');
    const carrier = url.pathname.split('/')[1]!;
    asked.push(`${carrier} ${url.searchParams.get('trackingNumber')}`);
    if (carrier === 'slow') return;
    const traces = says.get(url.searchParams.get('trackingNumber')!);
    if (request.headers.authorization !== 'Bearer key') response.writeHead(401).end();
    else if (!traces) response.writeHead(404).end();
    else response.end(JSON.stringify({ traces }));
  });

  beforeAll(async () => {
    world = await openWorld();
    world.work();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }, 60_000);
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await world?.drop();
  });
  beforeEach(async () => {
    says = new Map();
    asked = [];
    await world.database.query({ text: 'DELETE FROM carrier_polls' });
  });

  const link = (carrier: string, trackingNumber: string, names = ['acme', 'slow']) => {
    const shipmentId = `shipment-of-${trackingNumber}`;
    const shipment: ParcelAttached = {
      ...{ carrier, trackingNumber, shipmentId, orderId: 'o', customerId: 'ada', shipmentVersion: 2 },
    };
    const of = { shipment, destination: 'DE', asked: new Set(names), now: new Date() };
    return linkParcel(world.database, parcelId(carrier, trackingNumber), of);
  };
  const polls = () =>
    world.database.query<{ trackingNumber: string; nextAt: Date; failures: number }>({
      text: `SELECT tracking_number AS "trackingNumber", next_at AS "nextAt", failures FROM carrier_polls ORDER BY 1`,
    });

  /** Runs the job until the condition holds. */
  async function runUntil(condition: () => Promise<boolean>): Promise<void> {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const env = {
      TRACKING_CARRIERS: 'acme=caudal,slow=caudal',
      TRACKING_CARRIER_URLS: `acme=${url}/acme,slow=${url}/slow`,
      TRACKING_CARRIER_KEYS: 'acme:key,slow:key',
      TRACKING_POLLS_PER_SECOND: '100',
      TRACKING_POLL_TIMEOUT: '30s',
    };
    const ended = new AbortController();
    const tools = {
      ...{ database: world.database, settings: loadConfig(settings, { env }), clock: systemClock },
      client: () => ({ recordTraces: (request: RecordTracesRequest) => world.api.recordTraces(request, testCall()) }),
    };
    const run = carrierPolls().run(tools as never, { signal: ended.signal, token: 1, now: new Date() });
    try {
      await until(condition);
    } finally {
      ended.abort();
      await run;
    }
  }

  const scan = (trackingNumber: string, status: string, ageMs: number) => ({
    ...{ trackingNumber, status, eventId: status, happenedAt: new Date(Date.now() - ageMs).toISOString() },
  });
  const status = async (trackingNumber: string) =>
    (await world.queries.getParcel({ carrier: 'acme', trackingNumber, readMask: undefined }, testCall())).status;

  test('asks for parcels of shipments until they have arrived; a carrier that hangs holds up no other', async () => {
    for (const number of ['H1', 'H2', 'H3', 'H4', 'H5', 'H6']) await link('slow', number);
    await link('ACME', 'a 1');
    await link('acme', 'A2');
    await link('other', 'A3');
    says.set('a1', [scan('a1', 'IN_TRANSIT', 60 * minute)]);
    says.set('A2', [scan('A2', 'IN_TRANSIT', 60 * minute), scan('A2', 'DELIVERED', 10 * minute)]);
    await runUntil(async () => (await status('a1')) !== 0 && (await status('A2')) !== 0);
    expect(await status('a1')).toBe(ParcelStatus.PARCEL_STATUS_IN_TRANSIT);
    expect(await status('A2')).toBe(ParcelStatus.PARCEL_STATUS_DELIVERED);
    expect(asked.filter((one) => one.startsWith('acme')).sort()).toEqual(['acme A2', 'acme a1']);
    // No more calls to the slow one than are allowed at a time. What was given up says nothing about it.
    expect(asked.filter((one) => one.startsWith('slow'))).toHaveLength(4);
    const left = await polls();
    expect(left.map(({ trackingNumber }) => trackingNumber).sort()).toEqual(['H1', 'H2', 'H3', 'H4', 'H5', 'H6', 'a1']);
    const next = left.find(({ trackingNumber }) => trackingNumber === 'a1')!.nextAt.getTime();
    expect(next).toBeGreaterThan(Date.now() + 55 * minute);
    expect(left.every(({ failures }) => failures === 0)).toBe(true);
  });

  test('does not ask for what was delivered or corrected meanwhile', async () => {
    await link('acme', 'B1');
    await link('acme', 'B2');
    await link('acme', 'B3');
    const set = (text: string, number: string) =>
      world.database.query({
        text: `UPDATE parcels SET ${text} WHERE parcel = $1`,
        values: [parcelId('acme', number)],
      });
    await set(`status = ${ParcelStatus.PARCEL_STATUS_DELIVERED}`, 'B1');
    await set('shipment = NULL', 'B2');
    says.set('B3', [scan('B3', 'IN_TRANSIT', minute)]);
    await runUntil(async () => (await status('B3')) !== 0);
    expect(asked).toEqual(['acme B3']);
    expect((await polls()).map(({ trackingNumber }) => trackingNumber)).toEqual(['B3']);
  });

  test('goes on asking for a parcel whose label was voided: it may be sent all the same', async () => {
    await link('acme', 'V1');
    says.set('V1', [scan('V1', 'CANCELLED', 60 * minute)]);
    await runUntil(async () => (await status('V1')) === ParcelStatus.PARCEL_STATUS_CANCELLED);
    expect(await polls()).toMatchObject([{ trackingNumber: 'V1', failures: 0 }]);
    // Also one that has got its plan since.
    await world.database.query({ text: 'DELETE FROM carrier_polls' });
    await link('acme', 'V1');
    says.get('V1')!.push(scan('V1', 'DELIVERED', minute));
    await runUntil(async () => (await status('V1')) === ParcelStatus.PARCEL_STATUS_DELIVERED);
    expect(await polls()).toEqual([]);
  });

  test('ends after 30 silent days, also of carriers that are not asked any more', async () => {
    await link('acme', 'C1');
    await link('acme', 'C2');
    await link('gone', 'C3', ['gone']);
    await link('gone', 'C4', ['gone']);
    await world.database.query({
      text: `UPDATE carrier_polls SET news_at = now() - make_interval(days => $1) WHERE tracking_number IN ('C1', 'C3')`,
      values: [silentDays + 1],
    });
    await runUntil(async () => (await polls()).length === 2 && asked.length >= 2);
    expect((await polls()).map(({ trackingNumber }) => trackingNumber)).toEqual(['C2', 'C4']);
  });
});
