import { contract } from '@caudal/contract/descriptors.ts';
import { validator } from '@caudal/rpc/schema/validation.ts';
import { given } from '@caudal/testing/given.ts';
import { expect, test } from '@jest/globals';
import { type OrderEvent, orderDecider } from '../domain/order.ts';
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

test('a return without an outcome is refused once the stock may have forgotten it, and nobody is asked', async () => {
  const { state } = given(orderDecider, events);
  const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
  const at = state.returns[0]!.createTime.getTime() + 29 * 86_400_000 + 1;
  const context = { now: new Date(at), sagaId: 'o1', origin, signal: new AbortController().signal };
  const outcome = await leadReturn({} as ReturnDependencies, state, 'o1.1', 'r1', context);
  expect(outcome).toEqual({ $case: 'returnRefused', value: { returnId: 'r1', reason: 'RETURN_UNKNOWN' } });
  expect(orderDecider.evolve(state, outcome!, new Date(at)).returns).toMatchObject([{ status: 'refused' }]);
});

test('the reason of a return that version 0.2 has taken goes on to the refund', async () => {
  const earlier = structuredClone(events);
  (earlier.at(-1)!.value as { reason: string }).reason = 'to card 4111 1111 1111 1111\u0007\u202e';
  const { state } = given(orderDecider, earlier);
  const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
  const context = {
    now: state.returns[0]!.createTime,
    sagaId: 'o1',
    origin,
    signal: new AbortController().signal,
  };
  const type = contract().registry.getMessage('caudal.payments.v1.CreateRefundRequest')!;
  const dependencies = {
    shipping: { getSettledPieces: async () => ({ lines: [{ productId: 'LAMP', quantity: 3n }] }) },
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
