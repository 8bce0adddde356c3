/**
 * The order's saga against random failures: lost calls and answers; crashes before and after an append; events that are
 * late, reordered or repeated; restarts with other settings; expired reservations, failing payments, a cancellation at
 * any moment. Asserts that every order ends, in a correct state.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { fulfilment, order, payment, shipment } from '@caudal/contract/entities.ts';
import { type EventCase, entityOfStream } from '@caudal/contract/entity.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type OrderEvent, type OrderState, orderDecider, place, requestCancel } from './domain/order.ts';
import { fulfilmentSaga } from './sagas/fulfilment.ts';
import { createWorld } from './testing/world.ts';

class Crash extends Error {}

const origin: Origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
const draft = {
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [
    { productId: 'P1', quantity: 2n, unitPrice: { minorUnits: 100n, currency: 'GBP' }, title: 'Lantern' },
    { productId: 'P2', quantity: 3n, unitPrice: { minorUnits: 50n, currency: 'GBP' }, title: 'Candle' },
  ],
  paymentMethod: { method: { $case: 'walletId' as const, value: 'w1' } },
  reference: '',
  attributes: {},
};

/** Runs one order with the failures of the seed; returns its final state. */
async function live({ seed, cancelAt, crashes, ...troubles }: Life) {
  const random = randomFrom(seed);
  const world = createWorld(random, troubles);
  let calm = false;
  const log = memoryLog({ domain: 'orders' });
  // A crash loses all memory: the next attempt begins with new aggregates.
  const open = (): Aggregates => {
    const aggregates = openAggregates({ log, clock, ids: newId });
    return {
      ...aggregates,
      async execute(command) {
        const isSagas = command.decider.entity.name === fulfilment.name;
        if (isSagas && !calm && random() < crashes) throw new Crash();
        const executed = await aggregates.execute(command);
        if (isSagas && !calm && random() < crashes / 2) throw new Crash();
        return executed;
      },
    };
  };
  let now = new Date('2026-01-01T00:00:00Z').getTime();
  const clock = () => new Date(now);
  const tell = (decide: (state: OrderState) => OrderEvent[]) =>
    open().execute({ decider: orderDecider, id: 'o1', decide, reply: () => undefined, replyCodec: noReply, origin });
  await tell((state) => place(state, draft));

  let due: Date | undefined;
  /** Advances the saga. False: it crashed before its cursor and timer were stored. */
  const drive = async (observed: { stream: string; event: EventCase }[]): Promise<boolean> => {
    const aggregates = open();
    // Each attempt may run in a process with another setting.
    const reservationMs = random() < 0.5 ? 900_000 : 600_500;
    const saga = fulfilmentSaga({ aggregates, ...world, reservationMs, paymentMs: 600_000 });
    const events = observed.flatMap(({ event, stream }) => {
      const concern = concernOf(saga, entityOfStream(stream), { stream, id: 'o1', version: 1, at: clock(), event });
      return concern ? [{ react: concern.react, origin }] : [];
    });
    if (observed.length > 0 && events.length === 0) return true;
    const options = { saga, aggregates, clock, signal: new AbortController().signal };
    try {
      const { dueAt } = await advance(options, 'o1', events, 0);
      if (!calm && random() < crashes / 2) return false;
      due = dueAt;
      return true;
    } catch (error) {
      if (error instanceof Crash) return false;
      throw error;
    }
  };

  /** How many events of each stream are done. An event is repeated until it is done, and never after that. */
  const cursors = new Map<string, number>();
  const streams = [order.stream('o1'), payment.stream('o1'), shipment.stream('o1')];
  const unseen = (stream: string): { stream: string; event: EventCase } | undefined => {
    const own = log.events.filter((event) => event.stream === order.stream('o1'));
    const published = [
      ...own.map((event) => ({ stream: event.stream, event: order.decode(event) })),
      ...world.published,
    ];
    return published.filter((event) => event.stream === stream)[cursors.get(stream) ?? 0];
  };
  for (let round = 0; round < 200; round++) {
    if (round === 80) calm = world.calm = true;
    const cancel =
      typeof cancelAt === 'number'
        ? round === cancelAt
        : round < 80 && world[cancelAt.context] === cancelAt.state && random() < 0.3;
    if (cancel) {
      await tell((state) => requestCancel(state, { orderId: 'o1', reason: 'changed my mind' })).catch(() => {});
    }
    world.stir();
    const stream = streams[Math.floor(random() * streams.length)]!;
    const event = unseen(stream);
    if (event && random() < 0.8) {
      if (await drive([event])) cursors.set(stream, (cursors.get(stream) ?? 0) + 1);
    } else if (due && (due.getTime() - now < 60_000 || random() < 0.02)) {
      // Time passes until the timer fires. After a failure that is soon; only sometimes does the payment time out.
      now = Math.max(now, due.getTime()) + 1;
      await drive([]);
    }
  }
  const { state } = await open().load(orderDecider, 'o1');
  return { status: state.status, world };
}

interface Life {
  seed: number;
  stockShort: boolean;
  paymentFails: boolean;
  /** The chance per round that open lines expire. */
  expiries: number;
  /** See Troubles. */
  former: number;
  outages: number;
  /** The chance that a crash prevents an append of the saga. */
  crashes: number;
  /** The round of the cancellation, or the state of another context soon after which it happens. */
  cancelAt: number | { context: 'payment' | 'shipment'; state: string };
}

const lives = fc.record({
  seed: fc.nat(),
  stockShort: fc.constantFrom(false, false, false, true),
  paymentFails: fc.constantFrom(false, false, false, true),
  expiries: fc.constantFrom(0, 0.02, 0.1, 0.4),
  former: fc.constantFrom(0, 0.5, 1),
  outages: fc.constantFrom(0, 0.5),
  crashes: fc.constantFrom(0, 0.1, 0.4, 0.7),
  cancelAt: fc.oneof(
    fc.constant(-1),
    fc.nat(70),
    fc.constant({ context: 'payment' as const, state: 'requested' }),
    fc.constant({ context: 'payment' as const, state: 'succeeded' }),
    fc.constant({ context: 'shipment' as const, state: 'created' }),
  ),
});

describe("the order's saga", () => {
  /** Runs the life; returns its final status. */
  async function endsWell(life: Life): Promise<string> {
    const { status, world } = await live(life);
    const { reserved, taken } = world.pieces();
    const none = { P1: 0n, P2: 0n };
    expect(['delivered', 'rejected', 'cancelled']).toContain(status);
    expect({ ...none, ...reserved }).toEqual(none);
    if (status === 'delivered') {
      expect({ taken, payment: world.payment, shipment: world.shipment }).toEqual({
        taken: { P1: 2n, P2: 3n },
        payment: 'succeeded',
        shipment: 'delivered',
      });
    } else {
      expect({ ...none, ...taken }).toEqual(none);
      expect(['none', 'failed', 'undone']).toContain(world.payment);
      expect(['none', 'cancelled']).toContain(world.shipment);
    }
    return status;
  }

  test('ends every order in a correct state, whatever fails', async () => {
    const statuses = new Set<string>();
    const run = async (life: Life) => void statuses.add(await endsWell(life));
    await fc.assert(fc.asyncProperty(lives, run), { numRuns: 200 });
    expect([...statuses].sort()).toEqual(['cancelled', 'delivered', 'rejected']);
  }, 120_000);

  test('loses no piece if calls of 0.2 break off between lines, and outages outlast reservations', async () => {
    const troubles = { stockShort: false, paymentFails: false, expiries: 0, former: 1, outages: 1 };
    const halfDone = fc.record({
      ...{ seed: fc.nat(), crashes: fc.constantFrom(0.4, 0.7) },
      cancelAt: fc.oneof(fc.constant(-1), fc.nat(70)),
    });
    const run = async (life: Pick<Life, 'seed' | 'crashes' | 'cancelAt'>) =>
      void (await endsWell({ ...troubles, ...life }));
    await fc.assert(fc.asyncProperty(halfDone, run), { numRuns: 150 });
  }, 120_000);
});
