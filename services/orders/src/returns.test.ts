/**
 * Returns of an order against random failures: lost calls and answers, crashes before and after an append, repeated events, two
 * processes at once; and
 * beside them returns by the reservation, refunds by hand, and more returns than there are pieces. Asserts that every return ends,
 * that pieces and money are those of the returns that were accepted, and that nothing is put back or paid twice.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { order } from '@caudal/contract/entities.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import { Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { CaudalError, refused, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type FulfilmentEvent, fulfilmentDecider } from './domain/fulfilment.ts';
import { confirm, type OrderEvent, type OrderState, orderDecider, place, requestCancel, ship } from './domain/order.ts';
import { requestReturn } from './domain/returns.ts';
import { type FulfilmentDependencies, fulfilmentSaga } from './sagas/fulfilment.ts';

class Crash extends Error {}

const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const prices = { LAMP: 333n, VASE: 70n };
const bought = { LAMP: 4n, VASE: 2n };
type ProductId = keyof typeof prices;
const total = 4n * prices.LAMP + 2n * prices.VASE;
const draft = {
  ...{ orderId: 'o1', customerId: 'c1', country: 'France', reference: '', attributes: {} },
  lines: (['LAMP', 'VASE'] as const).map((productId) => ({
    ...{ productId, quantity: bought[productId], unitPrice: gbp(prices[productId]), title: '' },
  })),
  paymentMethod: { method: { $case: 'walletId' as const, value: 'w1' } },
};

/** The stock and the payment, as far as returns know them; each call may be lost, or its answer. */
function createWorld(isLost: () => boolean) {
  const out: Record<string, bigint> = { ...bought };
  const requests = new Set<string>();
  const refunds = new Map<string, bigint>();
  const left = () => [...refunds.values()].reduce((sum, amount) => sum - amount, total);
  const calling = async <T>(run: () => T): Promise<T> => {
    if (isLost()) throw unavailable('the network');
    const answer = run();
    if (isLost()) throw unavailable('the network');
    return answer;
  };
  const contents = new Map<string, string>();
  /** What has left the warehouse. */
  const sent: Record<string, bigint> = { LAMP: 3n, VASE: 0n };
  return {
    ...{ out, refunds, left, requests, sent },
    shipping: {
      getSettledPieces: () =>
        calling(() => ({ lines: Object.entries(sent).map(([productId, quantity]) => ({ productId, quantity })) })),
    } as Partial<FulfilmentDependencies['shipping']> as FulfilmentDependencies['shipping'],
    inventory: {
      putBack: (request) =>
        calling(() => {
          const { requestId, lines } = request as Required<typeof request>;
          const content = JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? String(value) : value));
          if ((contents.get(requestId!) ?? content) !== content)
            throw new CaudalError('INVALID_ARGUMENT', 'REQUEST_ID_REUSED', 'Another request.');
          if (requests.has(requestId!)) return {} as never;
          for (const { productId, quantity } of lines!)
            if (quantity! > out[productId!]!) throw refused('RETURN_TOO_LARGE', 'Too many.');
          for (const { productId, quantity } of lines!) out[productId!]! -= quantity!;
          requests.add(requestId!);
          contents.set(requestId!, content);
          return {} as never;
        }),
    } as Partial<FulfilmentDependencies['inventory']> as FulfilmentDependencies['inventory'],
    payments: {
      createRefund: ({ refundId, amount }) =>
        calling(() => {
          if (!refunds.has(refundId!)) {
            if (left() === 0n) throw refused('NOTHING_TO_REFUND', 'All is paid back.');
            const asked = amount!.minorUnits!;
            refunds.set(refundId!, asked < left() ? asked : left());
          }
          const all = [...refunds].map(([id, minorUnits]) => ({ refundId: id, amount: gbp(minorUnits) }));
          return Payment.fromPartial({ refunds: all });
        }),
    } as Partial<FulfilmentDependencies['payments']> as FulfilmentDependencies['payments'],
  };
}

const facts: FulfilmentEvent[] = [
  { $case: 'reserved', value: { reservationId: 'o1.1', expireTime: undefined } },
  { $case: 'paymentRequested', value: { paymentId: 'o1', giveUpTime: new Date(0) } },
  { $case: 'paid', value: {} },
  { $case: 'committed', value: {} },
  { $case: 'confirmed', value: {} },
  { $case: 'shipmentCreated', value: { shipmentId: 'o1' } },
  { $case: 'dispatched', value: {} },
  { $case: 'orderMarked', value: { status: 'shipped' } },
];

const product = fc.constantFrom<ProductId>('LAMP', 'VASE');
const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('return' as const), product, pieces: fc.bigInt(1n, 3n) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('drive' as const, 'race' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('by-reservation' as const), product }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('by-hand' as const), amount: fc.constantFrom(1n, 300n, 1400n, total) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('dispatch' as const), product }) },
);
const life = fc.record({
  seed: fc.nat(),
  crashes: fc.constantFrom(0, 0.2, 0.5),
  losses: fc.constantFrom(0, 0.2, 0.4),
  actions: fc.array(action, { maxLength: 40, size: 'max' }),
});

test('every return ends; pieces and money are those of the accepted ones', async () => {
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(life, async ({ seed, crashes, losses, actions }) => {
      const random = randomFrom(seed);
      let calm = false;
      const world = createWorld(() => !calm && random() < losses);
      let now = Date.UTC(2026, 0, 1);
      const clock = () => new Date(now);
      const log = memoryLog({ domain: 'orders', clock });
      const open = () => {
        const aggregates = openAggregates({ log, clock, ids: newId });
        return {
          ...aggregates,
          async execute(command: Parameters<typeof aggregates.execute>[0]) {
            if (!calm && random() < crashes) throw new Crash();
            const executed = await aggregates.execute(command);
            if (!calm && random() < crashes) throw new Crash();
            return executed;
          },
        } as typeof aggregates;
      };
      const tell = (decide: (state: OrderState) => OrderEvent[]) => {
        const aggregates = openAggregates({ log, clock, ids: newId });
        const command = {
          decider: orderDecider,
          id: 'o1',
          decide,
          reply: () => undefined,
          replyCodec: noReply,
          origin,
        };
        return aggregates.execute(command);
      };
      await tell((state) => place(state, draft));
      await tell((state) => confirm(state, 'o1.1'));
      await tell((state) => ship(state, 'o1.1'));
      const { state: placed } = await open().load(orderDecider, 'o1');
      const started: FulfilmentEvent = { $case: 'started', value: placed.placed! };
      await openAggregates({ log, clock, ids: newId }).execute({
        ...{ decider: fulfilmentDecider, id: 'o1', reply: () => undefined, replyCodec: noReply, origin },
        decide: () => [started, ...facts],
      });

      let seen = 0;
      const own = () => log.events.filter(({ stream }) => stream === order.stream('o1'));
      /** Runs the saga on the next event of the order, which comes again after a crash; without one, as its timer does. */
      const drive = async () => {
        const at = seen;
        const event: EventCase | undefined = own()[at] && order.decode(own()[at]!);
        const aggregates = open();
        const saga = fulfilmentSaga({ aggregates, ...world, reservationMs: 1, paymentMs: 1 });
        const observed = { stream: order.stream('o1'), id: 'o1', version: at + 1, at: clock(), event: event! };
        const concern = event && concernOf(saga, order.name, observed);
        try {
          const options = { saga, aggregates, clock, signal: new AbortController().signal };
          await advance(options, 'o1', concern ? [{ react: concern.react, origin }] : [], 0);
          if (event && (calm || random() > crashes)) seen = Math.max(seen, at + 1);
        } catch (error) {
          if (!(error instanceof Crash)) throw error;
        }
        now += 1_000;
      };

      for (const input of actions) {
        if (input.kind === 'drive') await drive();
        if (input.kind === 'race') await Promise.all([drive(), drive()]);
        if (input.kind === 'dispatch') world.sent[input.product] = bought[input.product];
        if (input.kind === 'by-reservation' && world.out[input.product]! > 0n) world.out[input.product]! -= 1n;
        if (input.kind === 'by-hand' && input.amount <= world.left()) world.refunds.set(newId(), input.amount);
        if (input.kind === 'cancel')
          await expect(tell((state) => requestCancel(state, { orderId: 'o1', reason: '' }))).rejects.toThrow(
            CaudalError,
          );
        if (input.kind === 'return') {
          const lines = [{ productId: input.product, quantity: input.pieces }];
          const asked = { orderId: 'o1', returnId: newId(), lines, reason: '', refund: undefined };
          await tell((state) => requestReturn(state, asked)).catch((error: unknown) => {
            if (!(error instanceof CaudalError)) throw error;
          });
        }
      }
      calm = true;
      for (let n = 0; n < log.events.length + 3; n++) await drive();

      const { state } = await open().load(orderDecider, 'o1');
      const back = { LAMP: 0n, VASE: 0n };
      for (const { status, lines, returnId, refund, refundRefusal, refusal } of state.returns) {
        expect(['returned', 'refused']).toContain(status);
        outcomes.add(refundRefusal || refusal || status);
        const paid = world.refunds.get(`return.${returnId}`);
        if (status === 'refused') expect(paid).toBeUndefined();
        if (status === 'returned') {
          const { productId, quantity } = lines[0] as { productId: ProductId; quantity: bigint };
          back[productId] += quantity;
          expect(paid ?? 0n).toBe(refund);
          expect(refundRefusal === '' ? refund : prices[productId] * quantity).toBe(prices[productId] * quantity);
        }
      }
      const outcomesIn = own().flatMap((recorded) => {
        const { $case, value } = order.decode(recorded);
        return $case === 'returned' || $case === 'returnRefused' ? [value.returnId] : [];
      });
      expect(outcomesIn.sort()).toEqual(state.returns.map(({ returnId }) => returnId).sort());
      const accepted = state.returns.filter(({ status }) => status === 'returned');
      expect(world.requests.size).toBe(accepted.length);
      for (const id of ['LAMP', 'VASE'] as const) {
        const directly = actions.filter((one) => one.kind === 'by-reservation' && one.product === id).length;
        expect(world.out[id]).toBeGreaterThanOrEqual(bought[id] - back[id] - BigInt(directly));
        expect(world.out[id]).toBeLessThanOrEqual(bought[id] - back[id]);
        expect(back[id]).toBeLessThanOrEqual(world.sent[id]!);
      }
      expect(world.left()).toBeGreaterThanOrEqual(0n);
      const { state: saga } = await open().load(fulfilmentDecider, 'o1');
      expect(saga.returns).toEqual([]);
    }),
    { numRuns: 80 },
  );
  expect([...outcomes].sort()).toEqual([
    'NOTHING_TO_REFUND',
    'NOT_LEFT',
    'REFUND_TOO_LARGE',
    'RETURN_TOO_LARGE',
    'returned',
  ]);
}, 120_000);
