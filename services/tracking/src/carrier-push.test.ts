/** What carriers push, from the signed body to the parcel's page. */
import { ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { signWebhook } from '@caudal/rpc/testing/sign-webhook.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { formats } from './carriers/formats.ts';
import type { CarrierEndpoint } from './carriers/webhook.ts';
import { openWorld, type World } from './testing/world.ts';

const secret = 'the secret of acme, of 32 characters or more';

describeWith(['postgres'], 'the webhook of a carrier', () => {
  let world: World;
  beforeAll(async () => {
    const acme: CarrierEndpoint = { adapter: formats.caudal('acme'), secrets: [secret] };
    world = await openWorld({ carriers: new Map([['acme', acme]]) });
    world.work();
  }, 60_000);
  afterAll(() => world?.drop());

  const push = (body: object, { carrier = 'acme', with: own = secret } = {}) => {
    const bytes = Buffer.from(JSON.stringify(body));
    const signature = signWebhook([own], bytes);
    return world.api.receiveCarrierPush({ carrier, body: bytes, signature, credential: '' }, testCall());
  };
  const page = (trackingNumber: string) =>
    world.queries.getParcel({ carrier: 'acme', trackingNumber, readMask: undefined }, testCall());
  const happenedAt = new Date(Date.now() - 3_600_000).toISOString();
  const trace = {
    ...{ trackingNumber: 'P1', eventId: 'e1', happenedAt, status: 'DELIVERED', subStatus: 'TO_NEIGHBOUR' },
    ...{ place: { name: 'Köln', country: 'DE', latitude: 50.94, longitude: -6.96 }, signedBy: 'Weber' },
  };

  test('writes what is signed, once, and says what it has not taken', async () => {
    const future = new Date(Date.now() + 3 * 86_400_000).toISOString();
    const wrong = [
      { ...trace, status: 'SENT' },
      { ...trace, eventId: 'e2', happenedAt: future },
    ];
    const body = { traces: [trace, ...wrong] };
    const { accepted, refused } = await push(body);
    expect(accepted).toBe(1);
    expect(refused).toEqual([
      { field: 'traces[1].status', problem: expect.stringContaining('DELIVERED') },
      { field: 'P1.happenedAt', problem: expect.stringContaining('time zone') },
    ]);
    // Carriers repeat what they think was lost.
    await push(body);
    await push({ traces: [{ ...trace, trackingNumber: 'P2' }] });
    await until(async () => (await page('P2').catch(() => undefined)) !== undefined);
    expect(await page('P1')).toMatchObject({
      ...{ carrier: 'acme', trackingNumber: 'P1', status: ParcelStatus.PARCEL_STATUS_DELIVERED, traceCount: 1 },
      subStatus: 'TO_NEIGHBOUR',
      lastPlace: { name: 'Köln', country: 'DE', position: { latitudeE7: 509_400_000, longitudeE7: -69_600_000 } },
    });
    const rows = await world.database.query<{ found: boolean }>({
      text: `SELECT bool_or(position('Weber'::bytea IN body) > 0) AS found FROM traces`,
    });
    expect(rows[0]!.found).toBe(false);
  });

  test('takes nothing from others', async () => {
    expect(await refusalOf(push({ traces: [trace] }, { with: 'x'.repeat(40) }))).toEqual({
      ...{ code: 'UNAUTHENTICATED', reason: 'SIGNATURE_INVALID' },
    });
    expect(await refusalOf(push({ traces: [trace] }, { carrier: 'dhl' }))).toEqual({
      ...{ code: 'NOT_FOUND', reason: 'CARRIER_UNKNOWN' },
    });
    const body = Buffer.from('{}');
    const unsigned = { carrier: 'acme', body, signature: '', credential: '' };
    expect(await refusalOf(world.api.receiveCarrierPush(unsigned, testCall()))).toEqual({
      ...{ code: 'UNAUTHENTICATED', reason: 'SIGNATURE_MISSING' },
    });
  });
});
