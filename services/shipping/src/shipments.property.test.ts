/**
 * Random commands about the shipments of one order, from two processes at the same time. Whatever they do: no piece is in two
 * shipments or in none, nothing leaves a cancelled order, every change of a status is one of the table, the order is delivered
 * once, and the view shows what the stream says.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { shipment } from '@caudal/contract/entities.ts';
import type { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { gatheredViews } from '@caudal/testing/gathered.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { shippingService } from './commands/shipping-service.ts';
import { type ShipmentEvent, type ShipmentState, shipmentDecider } from './domain/shipment.ts';
import { hasLeft, type Status, transitions } from './domain/transitions.ts';
import { shipments } from './projections/shipments.ts';
import { shipmentMessage } from './shipment-message.ts';
import { parcel } from './testing/histories.ts';

const now = new Date('2026-01-01T00:00:00Z');
type Api = Handlers<ShippingServiceService>;

const ids = ['o1', 'o1~2', 'o1~3', 'o1~4'];
const moves = fc.record({
  action: fc.constantFrom(
    ...([
      'dispatch',
      'dispatch',
      'part',
      'part',
      'split',
      'split',
      'correct',
      'correct',
      'correct',
      'fail',
      'lose',
      'return',
      'deliver',
      'deliver',
    ] as const),
    ...(['withdraw', 'cancel', 'create'] as const),
  ),
  shipmentId: fc.constantFrom(...ids),
  newShipmentId: fc.constantFrom(...ids.slice(1)),
  first: fc.integer({ min: 0, max: 2 }),
  second: fc.integer({ min: 0, max: 3 }),
  trackingNumber: fc.constantFrom('', '7', '8'),
  attempt: fc.integer({ min: 0, max: 3 }),
  etag: fc.constantFrom('', '', '', '', '1', '2', '3', '4'),
});
type Move = typeof moves extends fc.Arbitrary<infer M> ? M : never;

function run(api: Api, { action, first, second, ...move }: Move): Promise<unknown> {
  const about = { ...move, requestId: '', carrier: 'DHL', reason: '' };
  const lines = [
    { productId: 'P1', quantity: BigInt(first) },
    { productId: 'P2', quantity: BigInt(second) },
  ].filter(({ quantity }) => quantity > 0n);
  switch (action) {
    case 'create':
      return api.createShipment({ requestId: '', ...parcel }, testCall());
    case 'cancel':
      return api.cancelShipment({ requestId: '', shipmentId: 'o1' }, testCall());
    case 'dispatch':
      return api.dispatchShipment(about, testCall());
    case 'part':
      return api.dispatchShipmentPart({ ...about, lines: lines.length > 0 ? lines : parcel.lines }, testCall());
    case 'split':
      return api.splitShipment({ ...about, lines: lines.length > 0 ? lines : parcel.lines }, testCall());
    case 'correct':
      return api.correctTracking(about, testCall());
    case 'fail':
      return api.recordFailedDelivery(about, testCall());
    case 'lose':
      return api.markShipmentLost(about, testCall());
    case 'return':
      return api.markShipmentReturned(about, testCall());
    case 'withdraw':
      return api.withdrawShipment(about, testCall());
    case 'deliver':
      return api.deliverShipment(about, testCall());
  }
}

/** Pieces in all shipments, by product. */
function pieces(state: ShipmentState): Record<string, bigint> {
  const sums: Record<string, bigint> = {};
  for (const { productId, quantity } of state.shipments.flatMap(({ lines }) => lines))
    sums[productId] = (sums[productId] ?? 0n) + quantity;
  return sums;
}

const allowed = new Set(
  Object.values(transitions).flatMap((changes) => Object.entries(changes).map(([from, to]) => `${from} > ${to}`)),
);

/** Checks what every event may do. */
function checkSteps(events: ShipmentEvent[]): ShipmentState {
  let state = shipmentDecider.initial;
  let delivered = 0;
  for (const event of events) {
    const before = new Map(state.shipments.map(({ shipmentId, status }) => [shipmentId, status]));
    state = shipmentDecider.evolve(state, event, now);
    if (state.created) expect(pieces(state)).toEqual({ P1: 2n, P2: 3n });
    for (const one of state.shipments) {
      expect(one.lines.every(({ quantity }) => quantity > 0n) && one.lines.length > 0).toBe(true);
      const was = before.get(one.shipmentId);
      if (was && was !== one.status) expect(allowed).toContain(`${was} > ${one.status}`);
    }
    const all = state.shipments.map(({ status }) => status);
    const isDelivered = isComplete(all);
    if (event.$case === 'delivered' && !event.value.partial) delivered++;
    if (event.$case === 'cancelled' && event.value.completes) delivered++;
    expect(delivered).toBe(isDelivered ? 1 : 0);
    if (event.$case === 'cancelled' && !all.some(hasLeft)) expect(new Set(all).size).toBeLessThanOrEqual(1);
  }
  return state;
}

/** All that was not withdrawn has arrived. */
function isComplete(statuses: Status[]): boolean {
  const open = statuses.filter((status) => status !== 'cancelled');
  return open.length > 0 && open.every((status) => status === 'delivered');
}

test('shipments keep their rules, whatever two processes do at the same time', async () => {
  const seen = new Set<string>();
  const history = async (rounds: Move[][]) => {
    const log = memoryLog({ domain: 'shipping' });
    const open = () => openAggregates({ log, clock: () => now, ids: newId });
    const processes = [open(), open()].map((aggregates) => shippingService({ aggregates }).handlers as unknown as Api);
    await processes[0]!.createShipment({ requestId: '', ...parcel }, testCall());
    for (const round of rounds) {
      const outcomes = await Promise.allSettled(round.map((move, index) => run(processes[index % 2]!, move)));
      for (const outcome of outcomes)
        if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(CaudalError);
    }
    const events = log.events.map((event) => shipment.decode(event));
    const state = checkSteps(events);
    for (const { $case } of events) seen.add($case);
    const stream = shipment.stream('o1');
    const views = gatheredViews(
      shipments,
      events.map((event) => ({ stream, at: now, event })),
    );
    expect(Object.fromEntries(views)).toEqual(
      Object.fromEntries(state.shipments.map(({ shipmentId }) => [shipmentId, shipmentMessage(shipmentId, state)])),
    );
  };
  const rounds = fc.array(fc.array(moves, { minLength: 1, maxLength: 3 }), { maxLength: 15 });
  await fc.assert(fc.asyncProperty(rounds, history), { numRuns: 300 });
  expect([...seen].sort()).toEqual(
    [
      'created',
      'split',
      'dispatched',
      'trackingCorrected',
      'deliveryFailed',
      'lost',
      'returned',
      'delivered',
      'cancelled',
    ].sort(),
  );
}, 60_000);
