/** A carrier expects a parcel on the 3rd, then on the 5th, then on the 3rd again: what it has said last counts, however that is written. */
import { ParcelStatus, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { formats } from './carriers/formats.ts';
import { writeTraces } from './store/write-traces.ts';
import { openWorld, type World } from './testing/world.ts';
import { messageOf } from './trace-message.ts';

/** What DHL answers at this time, as it is put into the queue. The last answer comes in another month than the others. */
const answers: [at: string, expected: string][] = [
  ['2026-11-28T08:00:00Z', '2026-12-03T12:00:00Z'],
  ['2026-11-29T08:00:00Z', '2026-12-05T12:00:00Z'],
  ['2026-12-01T08:00:00Z', '2026-12-03T12:00:00Z'],
];
const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

function said(id: string, answer: number): Uint8Array[] {
  const [at, estimatedTimeOfDelivery] = answers[answer]!;
  const events = [{ timestamp: '2026-11-27T18:00:00Z', statusCode: 'transit', description: 'Arrived' }];
  const body = Buffer.from(JSON.stringify({ shipments: [{ id, events, estimatedTimeOfDelivery }] }));
  const receiveTime = new Date(at);
  return formats
    .dhl('dhl')
    .parse(body, receiveTime)
    .traces.map((trace) => Trace.encode({ ...messageOf(trace), receiveTime }).finish());
}

describeWith(['postgres'], 'an expected time that a carrier changes back', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  }, 60_000);
  afterAll(() => world?.drop());

  const write = (bodies: Uint8Array[]) => world.database.transaction((tx) => writeTraces(tx, bodies));
  const page = (trackingNumber: string) =>
    world.queries.getParcel({ carrier: 'dhl', trackingNumber, readMask: undefined }, testCall());

  test.each(orders.map((order) => [order.join(''), order] as const))('written in the order %s', async (name, order) => {
    // Together, and each for itself; then all of them again, which changes nothing.
    await write(order.flatMap((answer) => said(`T${name}`, answer)));
    for (const answer of order) await write(said(`S${name}`, answer));
    const before = await page(`S${name}`);
    for (const answer of order) await write(said(`S${name}`, answer));
    expect(await page(`S${name}`)).toEqual(before);
    for (const number of [`T${name}`, `S${name}`])
      expect(await page(number)).toMatchObject({
        eta: new Date('2026-12-03T12:00:00Z'),
        status: ParcelStatus.PARCEL_STATUS_IN_TRANSIT,
        // The event, and each time that was expected after it.
        traceCount: 3,
      });
    expect((await page(`S${name}`)).latestTraces).toHaveLength(3);
  });

  test('without the last answer the second one counts', async () => {
    await write([...said('U1', 1), ...said('U1', 0)]);
    expect(await page('U1')).toMatchObject({ eta: new Date('2026-12-05T12:00:00Z'), traceCount: 3 });
  });
});
