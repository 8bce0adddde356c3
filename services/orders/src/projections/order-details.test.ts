import { OrderReturnStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { describe, expect, test } from '@jest/globals';
import { type OrderEvent, orderDecider } from '../domain/order.ts';
import { orderMessage } from '../order-message.ts';
import { orderDetails } from './order-details.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });

describe('returns in the order details', () => {
  const line = (productId: string) => ({
    ...{ productId, quantity: 2n, unitPrice: gbp(250n), title: '' },
  });
  const created: OrderEvent = {
    $case: 'created',
    value: {
      ...{ orderId: 'o1', customerId: 'c1', country: 'France', lines: [line('LAMP'), line('VASE')], total: gbp(1000n) },
      ...{ paymentMethod: undefined, reference: '', attributes: {} },
    },
  };
  const asked = (returnId: string): OrderEvent => ({
    $case: 'returnRequested',
    value: { returnId, lines: [{ productId: 'LAMP', quantity: 1n }], refund: gbp(250n), reason: 'broken' },
  });
  const back: OrderEvent = {
    $case: 'returned',
    value: { returnId: 'r1', customerId: 'c1', refund: gbp(200n), refundRefusal: '' },
  };
  const unknown: OrderEvent = {
    $case: 'returnAttentionNeeded',
    value: { returnId: 'r1', reason: 'RETURN_UNKNOWN' },
  };
  const retried: OrderEvent = { $case: 'returnRetried', value: { returnId: 'r1', inStock: true, note: 'looked' } };
  const refused: OrderEvent = { $case: 'returnRefused', value: { returnId: 'r2', reason: 'RETURN_TOO_LARGE' } };
  const from = new Date('2026-01-01T00:00:00Z');

  test.each<[string, OrderEvent[]]>([
    ['requested', [asked('r1')]],
    ['returned', [asked('r1'), back]],
    ['in need of attention', [asked('r1'), unknown]],
    ['tried again', [asked('r1'), unknown, retried]],
    ['tried again, and returned', [asked('r1'), unknown, retried, back]],
    ['refused, after another', [asked('r1'), asked('r2'), back, refused]],
  ])('are those of the order: %s', (_, events) => {
    const all: OrderEvent[] = [created, { $case: 'confirmed', value: { customerId: 'c1', reservationId: 'o1.1' } }];
    all.push(...events);
    const view = viewsOf(orderDetails, [{ stream: 'orders.order/o1', from, events: all }]).get('o1')!;
    const state = all.reduce(
      (before, event, n) => orderDecider.evolve(before, event, new Date(from.getTime() + n * 1000)),
      orderDecider.initial,
    );
    const { returns, lines, reservationId } = orderMessage(state, 0);
    expect({ returns: view.returns, lines: view.lines, reservationId: view.reservationId }).toEqual({
      ...{ returns, lines, reservationId },
    });
    const waits = events.at(-1) === unknown;
    expect(orderDetails.keys.needs_attention!.of(view)).toBe(waits);
  });
});

test('a return is refunded in the order details, whichever stream is faster', () => {
  const returned: OrderEvent[] = [
    {
      $case: 'returnRequested',
      value: { returnId: 'r1', lines: [{ productId: 'LAMP', quantity: 1n }], refund: gbp(250n), reason: '' },
    },
    { $case: 'returned', value: { returnId: 'r1', customerId: 'c1', refund: gbp(250n), refundRefusal: '' } },
  ];
  const refund = { orderId: 'o1', refundId: 'return.r1', amount: gbp(250n), reason: '' };
  const views = viewsOf(orderDetails, [
    { stream: 'orders.order/o1', from: new Date('2026-01-01T00:00:00Z'), events: returned },
    {
      stream: 'payments.payment/o1',
      from: new Date('2026-01-01T00:00:00Z'),
      events: [
        { $case: 'refundRequested', value: refund },
        { $case: 'refundCompleted', value: { ...refund, customerId: 'c1', refunded: gbp(250n) } },
      ],
    },
  ]);
  expect(views.get('o1')).toMatchObject({
    returns: [{ status: OrderReturnStatus.ORDER_RETURN_STATUS_REFUNDED, refund: gbp(250n) }],
    payment: { refunded: gbp(250n), refunds: [{ refundId: 'return.r1', completed: true }] },
  });
});
