import { contract } from '@caudal/contract/descriptors.ts';
import { ReturnDecision } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { rememberedMs, repeatableMs } from '@caudal/contract/remembered.ts';
import { validator } from '@caudal/rpc/schema/validation.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { fulfilmentDecider, next, onOrder } from '../domain/fulfilment.ts';
import { type OrderEvent, orderDecider } from '../domain/order.ts';
import { requestReturn, settleReturn } from '../domain/returns.ts';
import { leadReturn, type ReturnDependencies } from './lead-return.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const buyer = { customerId: 'c1', reservationId: 'o1.1' };
const events: OrderEvent[] = [
  {
    $case: 'created',
    value: {
      ...{ orderId: 'o1', customerId: 'c1', country: 'France', reference: '', attributes: {} },
      lines: [{ productId: 'LAMP', quantity: 3n, unitPrice: gbp(333n), title: '' }],
      total: gbp(999n),
      paymentMethod: { method: { $case: 'walletId', value: 'w1' } },
    },
  },
  { $case: 'confirmed', value: buyer },
  { $case: 'shipped', value: buyer },
  {
    $case: 'returnRequested',
    value: { returnId: 'r1', lines: [{ productId: 'LAMP', quantity: 1n }], refund: gbp(333n), reason: '' },
  },
];

const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
const contextAt = (at: number) => ({ now: new Date(at), sagaId: 'o1', origin, signal: new AbortController().signal });
const sent = { getSettledPieces: async () => ({ lines: [{ productId: 'LAMP', quantity: 3n }] }) };

describe('a return that had no outcome until the stock may have forgotten it', () => {
  const requested = given(orderDecider, events).state;
  const since = requested.returns[0]!.createTime.getTime();
  const at = since + repeatableMs + 1;
  const attention: OrderEvent = {
    $case: 'returnAttentionNeeded',
    value: { returnId: 'r1', reason: 'RETURN_UNKNOWN' },
  };
  const waiting = orderDecider.evolve(requested, attention, new Date(at));
  const settle = (decision: ReturnDecision, state = waiting) =>
    settleReturn(state, { orderId: 'o1', returnId: 'r1', decision, note: 'looked' });
  const decided = (decision: ReturnDecision, later = at + 1_000) =>
    settle(decision).reduce((state, event) => orderDecider.evolve(state, event, new Date(later)), waiting);

  test('needs attention, and nobody is asked; its pieces are not returned by another one meanwhile', async () => {
    expect(rememberedMs - repeatableMs).toBe(86_400_000);
    expect(await leadReturn({} as ReturnDependencies, requested, 'o1.1', 'r1', contextAt(at))).toEqual(attention);
    expect(waiting.returns).toMatchObject([{ status: 'attention', refusal: 'RETURN_UNKNOWN' }]);
    expect(await leadReturn({} as ReturnDependencies, waiting, 'o1.1', 'r1', contextAt(at))).toBeUndefined();
    const lines = [{ productId: 'LAMP', quantity: 3n }];
    const more = { orderId: 'o1', returnId: 'r2', lines, reason: '', refund: undefined };
    expect(() => requestReturn(waiting, more)).toThrow(expect.objectContaining({ reason: 'RETURN_TOO_LARGE' }));
  });

  test('is tried again for as long if an operator has it put back, under another request id', async () => {
    const again = decided(ReturnDecision.RETURN_DECISION_PUT_BACK);
    expect(again.returns).toMatchObject([{ status: 'requested', refusal: '', createTime: new Date(since) }]);
    const ids: string[] = [];
    const dependencies = {
      shipping: sent,
      inventory: { putBack: async ({ requestId }: { requestId: string }) => void ids.push(requestId) },
      payments: { createRefund: async () => ({ refunds: [{ refundId: 'return.r1', amount: gbp(333n) }] }) },
    } as unknown as ReturnDependencies;
    const back = { $case: 'returned', value: { returnId: 'r1', refund: gbp(333n), pieces: 1n, price: gbp(333n) } };
    for (const [state, now] of [
      [requested, since],
      [again, at + 2_000],
      [again, at + repeatableMs],
    ] as const)
      expect(await leadReturn(dependencies, state, 'o1.1', 'r1', contextAt(now))).toMatchObject(back);
    expect(ids[1]).toBe(ids[2]);
    expect(ids[0]).not.toBe(ids[1]);
    const late = await leadReturn(dependencies, again, 'o1.1', 'r1', contextAt(at + 1_000 + repeatableMs + 1));
    expect(late).toEqual(attention);
  });

  test('is refunded, and not put back, if an operator has found its pieces in the stock', async () => {
    const again = decided(ReturnDecision.RETURN_DECISION_REFUND);
    const dependencies = {
      payments: { createRefund: async () => ({ refunds: [{ refundId: 'return.r1', amount: gbp(333n) }] }) },
    } as unknown as ReturnDependencies;
    // The payment knows its refunds by their ids for ever.
    const outcome = await leadReturn(dependencies, again, 'o1.1', 'r1', contextAt(at + 2 * repeatableMs));
    expect(outcome).toMatchObject({ $case: 'returned', value: { refund: gbp(333n) } });
  });

  test('is refused if an operator says so: its pieces can be returned again', () => {
    const ended = decided(ReturnDecision.RETURN_DECISION_REFUSE);
    expect(ended.returns).toMatchObject([{ status: 'refused', refusal: 'RETURN_SETTLED' }]);
    const lines = [{ productId: 'LAMP', quantity: 3n }];
    expect(requestReturn(ended, { orderId: 'o1', returnId: 'r2', lines, reason: '', refund: undefined })).toHaveLength(
      1,
    );
  });

  test('is settled only while it waits', () => {
    expect(() => settle(ReturnDecision.RETURN_DECISION_REFUSE, requested)).toThrow(
      expect.objectContaining({
        reason: 'RETURN_NEEDS_NO_ATTENTION',
        metadata: { status: 'ORDER_RETURN_STATUS_REQUESTED' },
      }),
    );
    expect(() => settle(ReturnDecision.RETURN_DECISION_REFUSE, { ...waiting, returns: [] })).toThrow(
      expect.objectContaining({ reason: 'RETURN_NOT_FOUND' }),
    );
  });

  test("is led by the order's saga again, behind those that were requested since", () => {
    const shipped = { ...fulfilmentDecider.initial, order: {} as never, marked: 'delivered' as const, returns: ['r2'] };
    const facts = onOrder.returnRetried(shipped, {
      $case: 'returnRetried',
      value: { returnId: 'r1', inStock: false, note: '' },
    });
    const after = facts.reduce(
      (state, fact) => fulfilmentDecider.evolve(state, fact, new Date(at)),
      shipped as typeof fulfilmentDecider.initial,
    );
    expect(after.returns).toEqual(['r2', 'r1']);
    expect(next(after)).toMatchObject({ name: 'return' });
  });
});

test('a return is repeated with the same request while an operator settles another one', async () => {
  const asked = (returnId: string): OrderEvent => ({
    $case: 'returnRequested',
    value: { returnId, lines: [{ productId: 'LAMP', quantity: 1n }], refund: gbp(333n), reason: '' },
  });
  const attention: OrderEvent = { $case: 'returnAttentionNeeded', value: { returnId: 'r1', reason: 'RETURN_UNKNOWN' } };
  const before = [...events, attention, asked('r2')];
  const settled = settleReturn(given(orderDecider, before).state, {
    ...{ orderId: 'o1', returnId: 'r1', note: 'found' },
    decision: ReturnDecision.RETURN_DECISION_REFUND,
  });
  const requests: object[] = [];
  const dependencies = {
    shipping: sent,
    inventory: { putBack: async (request: object) => void requests.push(request) },
    payments: { createRefund: async () => ({ refunds: [{ refundId: 'return.r2', amount: gbp(333n) }] }) },
  } as unknown as ReturnDependencies;
  for (const all of [before, [...before, ...settled]]) {
    const { state } = given(orderDecider, all);
    await leadReturn(dependencies, state, 'o1.1', 'r2', contextAt(state.returns[1]!.createTime.getTime()));
  }
  expect(requests[1]).toEqual(requests[0]);
  expect(requests[0]).toMatchObject({ out: [{ productId: 'LAMP', quantity: 3n }] });
});

test('the reason of a return that version 0.2 has taken goes on to the refund', async () => {
  const earlier = structuredClone(events);
  (earlier.at(-1)!.value as { reason: string }).reason = 'to card 4111 1111 1111 1111\u0007\u202e';
  const { state } = given(orderDecider, earlier);
  const context = contextAt(state.returns[0]!.createTime.getTime());
  const type = contract().registry.getMessage('caudal.payments.v1.CreateRefundRequest')!;
  const dependencies = {
    shipping: sent,
    inventory: { putBack: async () => ({}) },
    payments: {
      async createRefund(request: { refundId: string; amount: unknown }) {
        expect(() => validator(type)(request)).toThrow(/card number|must not contain the character/);
        validator(type, 'service')(request);
        return { refunds: [{ refundId: request.refundId, amount: request.amount }] };
      },
    },
  } as unknown as ReturnDependencies;
  const outcome = await leadReturn(dependencies, state, 'o1.1', 'r1', context);
  expect(outcome).toMatchObject({ $case: 'returned', value: { refund: gbp(333n) } });
});
