/** The answers of commands show the order as a query does at that moment, as far as the query side answers in time. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import {
  FulfilmentStatus,
  Order,
  OrderPayment,
  OrderReturnStatus,
  OrderShipment,
  ReturnDecision,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { notFound, unavailable } from '@caudal/kernel/errors.ts';
import type { Call, CallOptions } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { type OrderServiceDependencies, orderService } from './commands/order-service.ts';
import { type OrderEvent, orderDecider } from './domain/order.ts';
import { orderQueryService } from './queries/order-query-service.ts';
import type { OpenTexts } from './references.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const buyer = { customerId: 'c1', reservationId: 'o1.1' };
const clock = () => new Date('2026-01-01T00:00:00Z');
const openTexts: OpenTexts = async (texts) => texts.map(({ text }) => text);
const lines = [{ productId: 'LAMP', quantity: 1n }];
const past: OrderEvent[] = [
  {
    $case: 'created',
    value: {
      ...{ orderId: 'o1', customerId: 'c1', country: 'France', reference: '', attributes: {} },
      lines: [{ productId: 'LAMP', quantity: 3n, unitPrice: gbp(333n), title: '' }],
      ...{ total: gbp(999n), paymentMethod: { method: { $case: 'walletId', value: 'w1' } } },
    },
  },
  { $case: 'confirmed', value: buyer },
];
const returned: OrderEvent[] = [
  { $case: 'shipped', value: buyer },
  { $case: 'returnRequested', value: { returnId: 'r1', lines, refund: gbp(333n), reason: '' } },
  { $case: 'returned', value: { returnId: 'r1', customerId: 'c1', refund: gbp(333n), refundRefusal: '' } },
];
const parts = {
  payment: OrderPayment.fromPartial({
    ...{ paymentId: 'o1', status: 'succeeded', amount: gbp(999n), refunded: gbp(333n) },
    refunds: [{ refundId: 'return.r1', amount: gbp(333n), completed: true }],
  }),
  shipments: [OrderShipment.fromPartial({ shipmentId: 'o1', status: 'delivery_failed', carrier: 'DHL' })],
  fulfilmentStatus: FulfilmentStatus.FULFILMENT_STATUS_SHIPPED,
};

/** Commands on an order with these events; `getOrder` stands for the query side. */
async function serve(events: OrderEvent[], getOrder: (asked?: CallOptions) => Promise<Order>) {
  const aggregates = openAggregates({ log: memoryLog({ domain: 'orders' }), clock, ids: () => crypto.randomUUID() });
  await aggregates.execute({
    ...{ decider: orderDecider, id: 'o1', decide: () => events, reply: () => undefined, replyCodec: noReply },
    origin: { actor: '', causationId: '', correlationId: '', traceparent: '' },
  });
  const { handlers } = orderService({
    ...{ aggregates, clock, ids: () => 'made' },
    openTexts,
    queries: { getOrder: (_: unknown, asked?: CallOptions) => getOrder(asked) },
  } as unknown as OrderServiceDependencies);
  return handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<Order>>;
}

/** The order as GetOrder shows the view with these parts. */
async function queried(): Promise<Order> {
  const view = Order.fromPartial({
    orderId: 'o1',
    customerId: 'c1',
    lines: [{ productId: 'LAMP', quantity: 3n }],
    ...parts,
  });
  const { handlers } = orderQueryService({
    views: fixedViews({ o1: view }, ''),
    openTexts,
  });
  const { getOrder } = handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<Order>>;
  return getOrder!({ orderId: 'o1' }, testCall());
}

const othersOf = ({ payment, shipment, shipments, fulfilmentStatus }: Order) => {
  return { payment, shipment, shipments, fulfilmentStatus };
};

describe('the answer of a command on an order', () => {
  test('shows payment, shipments and paid returns as GetOrder does', async () => {
    const view = await queried();
    const { returnOrder } = await serve([...past, ...returned], async () => view);
    const answer = await returnOrder!({ orderId: 'o1', etag: '', returnId: 'r2', lines, reason: '' }, testCall());
    expect(othersOf(answer)).toEqual(othersOf(view));
    expect(answer.returns.map(({ status }) => status)).toEqual([
      OrderReturnStatus.ORDER_RETURN_STATUS_REFUNDED,
      OrderReturnStatus.ORDER_RETURN_STATUS_REQUESTED,
    ]);
    const { cancelOrder } = await serve(past, async () => view);
    expect(othersOf(await cancelOrder!({ orderId: 'o1', etag: '', reason: '' }, testCall()))).toEqual(othersOf(view));
  });

  test('is the same for a repeat, whatever has happened to the payment since', async () => {
    let view = await queried();
    const { returnOrder } = await serve([...past, ...returned], async () => view);
    const request = { orderId: 'o1', etag: '', returnId: 'r2', lines, reason: '' };
    const call = () => testCall({ requestId: 'r1' });
    const first = await returnOrder!(request, call());
    view = { ...view, payment: undefined, shipments: [] };
    expect(await returnOrder!(request, call())).toEqual(first);
    expect(first.payment).toBeDefined();
  });

  test('of a settled return, too', async () => {
    const waiting: OrderEvent[] = [
      ...[...past, ...returned.slice(0, 2)],
      { $case: 'returnAttentionNeeded', value: { returnId: 'r1', reason: 'RETURN_UNKNOWN' } },
    ];
    const { settleReturn } = await serve(waiting, queried);
    const decision = ReturnDecision.RETURN_DECISION_PUT_BACK;
    const answer = await settleReturn!({ orderId: 'o1', etag: '', returnId: 'r1', decision, note: 'n' }, testCall());
    expect(answer).toMatchObject({
      returns: [{ returnId: 'r1', status: 1, refusal: '' }],
      payment: { paymentId: 'o1' },
    });
  });

  test('comes without them if the query side has no view, is away, or takes long', async () => {
    const hanging = (asked?: CallOptions) =>
      new Promise<Order>((_, reject) => asked!.signal!.addEventListener('abort', () => reject(asked!.signal!.reason)));
    const failing = (error: Error) => async () => {
      throw error;
    };
    for (const getOrder of [failing(notFound('order', 'o1')), failing(unavailable('orders')), hanging]) {
      const { cancelOrder } = await serve(past, getOrder);
      const answer = await cancelOrder!({ orderId: 'o1', etag: '', reason: '' }, testCall());
      expect(answer).toMatchObject({ orderId: 'o1', status: 6, payment: undefined, shipments: [] });
    }
  });
});

test('statuses within an order are spelled as by the payment and the shipment themselves', async () => {
  const order = await queried();
  expect(order.payment).toMatchObject({ paymentStatus: PaymentStatus.PAYMENT_STATUS_SUCCEEDED });
  const failed = { status: 'delivery_failed', shipmentStatus: ShipmentStatus.SHIPMENT_STATUS_DELIVERY_FAILED };
  expect(order).toMatchObject({ shipment: failed, shipments: [failed] });
  expect(Order.toJSON(order)).toMatchObject({
    payment: { paymentStatus: 'PAYMENT_STATUS_SUCCEEDED' },
    shipments: [{ shipmentStatus: 'SHIPMENT_STATUS_DELIVERY_FAILED' }],
  });
});
