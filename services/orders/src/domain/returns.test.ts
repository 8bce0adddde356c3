import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { type OrderEvent, orderDecider } from './order.ts';
import { isRequested, mostLines, mostOpen, mostReturns, outOf, requestReturn } from './returns.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const line = (productId: string, quantity: bigint, price: bigint) => ({
  ...{ productId, quantity, unitPrice: gbp(price), title: '' },
});
const created: OrderEvent = {
  $case: 'created',
  value: {
    orderId: 'o1',
    customerId: 'c1',
    country: 'France',
    lines: [line('LAMP', 3n, 333n), line('VASE', 1n, 0n)],
    total: gbp(999n),
    paymentMethod: { method: { $case: 'walletId', value: 'w1' } },
    reference: '',
    attributes: {},
  },
};
const buyer = { customerId: 'c1', reservationId: 'o1.1' };
const confirmed: OrderEvent = { $case: 'confirmed', value: buyer };
const shipped: OrderEvent = { $case: 'shipped', value: buyer };
const delivered: OrderEvent = { $case: 'delivered', value: { customerId: 'c1' } };
const sent = [created, confirmed, shipped];
const cancelRequested: OrderEvent = { $case: 'cancelRequested', value: { reason: '' } };
const lamps = (quantity: bigint) => [{ productId: 'LAMP', quantity }];
const asked = (returnId: string, quantity: bigint): OrderEvent => ({
  $case: 'returnRequested',
  value: { returnId, lines: lamps(quantity), refund: gbp(quantity * 333n), reason: 'broken' },
});
const back = (returnId: string, refund: bigint): OrderEvent => ({
  $case: 'returned',
  value: { returnId, customerId: 'c1', refund: gbp(refund), refundRefusal: '' },
});
const refused = (returnId: string): OrderEvent => ({
  $case: 'returnRefused',
  value: { returnId, reason: 'RETURN_TOO_LARGE' },
});
const returning = (events: OrderEvent[], returnId: string, lines = lamps(1n), refund?: Money) =>
  given(orderDecider, events).when((state) =>
    requestReturn(state, { orderId: 'o1', returnId, lines, reason: 'broken', refund }),
  );

describe('a return', () => {
  test('of an order that has left is worth the price of its pieces', () => {
    for (const events of [sent, [...sent, delivered]]) returning(events, 'r1', lamps(2n)).gives([asked('r1', 2n)]);
    returning(sent, 'r1', [{ productId: 'VASE', quantity: 1n }]).gives([
      {
        $case: 'returnRequested',
        value: { returnId: 'r1', lines: [{ productId: 'VASE', quantity: 1n }], refund: gbp(0n), reason: 'broken' },
      },
    ]);
  });

  test('refunds less if it says so, since money was paid back by hand; never more than the price', () => {
    for (const refund of [0n, 665n, 666n]) {
      const value = { returnId: 'r1', lines: lamps(2n), refund: gbp(refund), reason: 'broken' };
      returning(sent, 'r1', lamps(2n), gbp(refund)).gives([{ $case: 'returnRequested', value }]);
    }
    returning(sent, 'r1', lamps(2n), gbp(667n)).refuses('FAILED_PRECONDITION', 'REFUND_TOO_LARGE');
    returning(sent, 'r1', lamps(2n), gbp(-1n)).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    returning(sent, 'r1', lamps(2n), { minorUnits: 1n, currency: 'EUR' }).refuses(
      'FAILED_PRECONDITION',
      'CURRENCY_MISMATCH',
    );
  });

  test('is possible as often as pieces are left; those requested count, those refused do not', () => {
    const events = [...sent, asked('r1', 2n)];
    returning(events, 'r2').gives([asked('r2', 1n)]);
    returning(events, 'r2', lamps(2n)).refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    returning([...events, back('r1', 666n)], 'r2', lamps(2n)).refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    returning([...events, refused('r1')], 'r2', lamps(3n)).gives([asked('r2', 3n)]);
    returning([...events, asked('r2', 1n)], 'r3').refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
  });

  test('is refused only as far as the order knows: a dispatch reaches it a moment later', () => {
    const { state } = given(orderDecider, [created, confirmed]);
    const input = { orderId: 'o1', returnId: 'r1', lines: lamps(1n), reason: '', refund: undefined };
    expect(() => requestReturn(state, input)).toThrow(
      'as far as it knows, none of its pieces have left. If they have, try',
    );
  });

  test('names every line that has too few pieces left, or is not in the order', () => {
    const lines = [{ productId: 'VASE', quantity: 2n }, ...lamps(1n), { productId: 'CUP', quantity: 1n }];
    const { state } = given(orderDecider, sent);
    expect(() => requestReturn(state, { orderId: 'o1', returnId: 'r1', lines, reason: '', refund: undefined })).toThrow(
      expect.objectContaining({
        reason: 'RETURN_TOO_LARGE',
        violations: [
          { field: 'lines[0].quantity', description: 'must be at most what is left: 1' },
          { field: 'lines[2].product_id', description: 'is not in the order' },
        ],
      }),
    );
  });

  test('is refused while nothing has left, under a known id, and beyond the bounds', () => {
    for (const events of [[created], [created, confirmed], [created, confirmed, cancelRequested]])
      returning(events, 'r1').refuses('FAILED_PRECONDITION', 'ORDER_NOT_RETURNABLE');
    returning([], 'r1').refuses('NOT_FOUND', 'ORDER_NOT_FOUND');
    returning([...sent, asked('r1', 1n)], 'r1').refuses('ALREADY_EXISTS', 'RETURN_EXISTS');
    const many = Array.from({ length: mostReturns }, (_, n) => [asked(`r${n}`, 1n), refused(`r${n}`)]).flat();
    returning([...sent, ...many], 'more').refuses('FAILED_PRECONDITION', 'TOO_MANY_RETURNS');
    const free = (id: string): OrderEvent => ({
      $case: 'returnRequested',
      value: { returnId: id, lines: [], refund: gbp(0n), reason: '' },
    });
    const open = Array.from({ length: mostOpen }, (_, n) => free(`r${n}`));
    returning([...sent, ...open], 'more').refuses('FAILED_PRECONDITION', 'TOO_MANY_RETURNS');
    returning([...sent, ...open, refused('r0')], 'more').gives([asked('more', 1n)]);
    const long = {
      returnId: 'r1',
      lines: Array.from({ length: mostLines }, () => lamps(0n)[0]!),
      refund: gbp(0n),
      reason: '',
    };
    returning([...sent, { $case: 'returnRequested', value: long }, refused('r1')], 'more').refuses(
      'FAILED_PRECONDITION',
      'TOO_MANY_RETURNS',
    );
  });

  test('counts as out until it is back', () => {
    const events = [...sent, asked('r1', 1n), asked('r2', 1n)];
    const state = (...more: OrderEvent[]) => given(orderDecider, [...events, ...more]).state;
    const vase = { productId: 'VASE', quantity: 1n };
    expect(outOf(state())).toEqual([...lamps(3n), vase]);
    expect(outOf(state(back('r1', 333n)))).toEqual([...lamps(2n), vase]);
    expect(outOf(state(back('r1', 333n), refused('r2')))).toEqual([...lamps(2n), vase]);
    const ended = state(back('r1', 333n), refused('r2'));
    expect(['r1', 'r2', 'r3'].map((returnId) => isRequested(ended, returnId))).toEqual([false, false, false]);
    expect(isRequested(state(), 'r1')).toBe(true);
  });
});
