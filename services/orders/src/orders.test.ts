import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { order as orderEntity } from '@caudal/contract/entities.ts';
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import {
  ListOrdersRequest,
  Order,
  OrderReturnStatus,
  OrderStatus,
  PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { PersonalText } from '@caudal/contract/personal.ts';
import { notFound, unavailable } from '@caudal/kernel/errors.ts';
import { derivedIdAt } from '@caudal/kernel/ids.ts';
import type { Call, CallOptions } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { type OrderServiceDependencies, orderService } from './commands/order-service.ts';
import { confirm, orderDecider } from './domain/order.ts';
import { orderDetails } from './projections/order-details.ts';
import { orderQueryService } from './queries/order-query-service.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const products = [
  Product.fromPartial({ productId: 'LAMP', title: 'Lamp', price: gbp(250n) }),
  Product.fromPartial({ productId: 'VASE', title: 'Vase', price: gbp(100n) }),
  Product.fromPartial({ productId: 'OLD', title: 'Old', price: gbp(1n), discontinued: true }),
  Product.fromPartial({ productId: 'NEW', title: 'Not priced' }),
];

const request = PlaceOrderRequest.fromPartial({
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [
    { productId: 'LAMP', quantity: 2n },
    { productId: 'VASE', quantity: 1n },
  ],
  paymentMethod: { method: { $case: 'walletId', value: 'w1' } },
});

function serve(sold = products) {
  const options: (CallOptions | undefined)[] = [];
  /** The etags of the orders' views. */
  const viewed = new Map<string, string>();
  /** Contexts that can't be reached. */
  const away = new Set<string>();
  const log = memoryLog({ domain: 'orders' });
  let id = 0;
  const clock = () => new Date('2026-01-01T00:00:00Z');
  const aggregates = openAggregates({ log, clock, ids: () => `event-${++id}` });
  const { handlers } = orderService({
    aggregates,
    openTexts: async (texts) => texts.map(({ text }) => text),
    catalog: {
      async batchGetProducts({ productIds }, asked) {
        options.push(asked);
        if (away.has('catalog')) throw unavailable('catalog');
        return { products: sold.filter(({ productId }) => productIds.includes(productId)) };
      },
    } as OrderServiceDependencies['catalog'],
    customers: {
      async getCustomer({ customerId }, asked) {
        options.push(asked);
        if (customerId === 'erased') return { eraseTime: new Date() };
        if (customerId !== 'c1') throw notFound('customer', customerId);
        return {};
      },
    } as OrderServiceDependencies['customers'],
    queries: {
      async getOrder({ orderId }, asked) {
        options.push(asked);
        const etag = viewed.get(orderId ?? '');
        if (!etag) throw notFound('order', orderId ?? '');
        return Order.fromPartial({ etag });
      },
    } as OrderServiceDependencies['queries'],
    ids: () => 'made',
    clock: () => new Date('2026-01-01T00:00:00Z'),
  });
  const call = handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<Order>>;
  return {
    log,
    aggregates,
    options,
    viewed,
    away,
    place: call.placeOrder!,
    cancel: call.cancelOrder!,
    giveBack: call.returnOrder!,
  };
}

describe('placing an order', () => {
  test('with an id of a time more than a day ahead is refused: its reservation would be, too', async () => {
    const { place, log } = serve();
    const idAt = (time: string) => derivedIdAt(Date.parse(time), 'an order');
    for (const orderId of [idAt('2026-01-02T00:00:01Z'), `${idAt('9999-01-01T00:00:00Z')}.x`])
      expect(await refusalOf(place({ ...request, orderId }, testCall()))).toEqual({
        code: 'INVALID_ARGUMENT',
        reason: 'ID_FROM_FUTURE',
      });
    expect(log.events).toEqual([]);
    await place({ ...request, orderId: idAt('2026-01-01T23:59:59Z') }, testCall());
    expect(log.events).toHaveLength(1);
  });

  test("takes the catalogue's prices, whatever the request contains", async () => {
    const { place, log } = serve();
    const call = testCall({ requestId: 'r1' });
    const order = await place(request, call);
    expect(order.total).toEqual(gbp(600n));
    expect(order.lines.map(({ title, unitPrice }) => [title, unitPrice])).toEqual([
      ['Lamp', gbp(250n)],
      ['Vase', gbp(100n)],
    ]);
    expect(call.written).toEqual([{ stream: 'orders.order/o1', version: 1 }]);
    expect(log.events).toHaveLength(1);
  });

  test('makes an id if the request has none', async () => {
    expect((await serve().place({ ...request, orderId: '' }, testCall())).orderId).toBe('made');
  });

  test('a repeat gets the first answer; with other content it is refused', async () => {
    const { place, log } = serve();
    const first = await place({ ...request, orderId: '' }, testCall({ requestId: 'r1', content: 'a' }));
    expect(await place({ ...request, orderId: '' }, testCall({ requestId: 'r1', content: 'a' }))).toEqual(first);
    expect(log.events).toHaveLength(1);
    const other = place({ ...request, orderId: 'o2' }, testCall({ requestId: 'r1', content: 'b' }));
    expect(await refusalOf(other)).toEqual({ code: 'INVALID_ARGUMENT', reason: 'REQUEST_ID_REUSED' });
  });

  test('a repeat gets the first answer, even if its products are no longer sold', async () => {
    const sold = [...products];
    const { place, log } = serve(sold);
    const first = await place({ ...request, orderId: '' }, testCall({ requestId: 'r1' }));
    sold.length = 0;
    expect(await place({ ...request, orderId: '' }, testCall({ requestId: 'r1' }))).toEqual(first);
    expect((await refusalOf(place(request, testCall({ requestId: 'r2' })))).reason).toBe('PRODUCT_NOT_SOLD');
    expect(log.events).toHaveLength(1);
  });

  test('a repeat gets the first answer while the catalogue is away; a first call does not', async () => {
    const { place, log, away } = serve();
    const first = await place({ ...request, orderId: '' }, testCall({ requestId: 'r1' }));
    away.add('catalog');
    expect(await place({ ...request, orderId: '' }, testCall({ requestId: 'r1' }))).toEqual(first);
    expect((await refusalOf(place({ ...request, orderId: first.orderId }, testCall()))).reason).toBe('ORDER_EXISTS');
    expect((await refusalOf(place(request, testCall({ requestId: 'r2' })))).code).toBe('UNAVAILABLE');
    expect(log.events).toHaveLength(1);
    away.clear();
    await place(request, testCall({ requestId: 'r2' }));
    expect(log.events).toHaveLength(2);
  });

  test("calls other contexts with its caller's deadline", async () => {
    const { place, options } = serve();
    const call = testCall();
    await place(request, call);
    const { origin, deadline, signal } = call;
    expect(options).toEqual([
      { origin, deadline, signal },
      { origin, deadline, signal },
    ]);
  });

  test('accepts attributes of a buyer from the shop, not from the buyer', async () => {
    const { place, log } = serve();
    const asGold = { ...request, attributes: { tier: 'gold' } };
    expect(await refusalOf(place(asGold, testCall({ subject: 'c1' })))).toEqual({
      code: 'PERMISSION_DENIED',
      reason: 'ATTRIBUTES_NOT_ALLOWED',
    });
    await place({ ...request, orderId: 'own' }, testCall({ subject: 'c1' }));
    const tooLong = { ...request, attributes: { tier: 'x'.repeat(201) } };
    expect((await refusalOf(place(tooLong, testCall()))).reason).toBe('INVALID_FIELD');
    await place(asGold, testCall());
    expect(orderEntity.decode(log.events.at(-1)!).value).toMatchObject({ orderId: 'o1', attributes: { tier: 'gold' } });
  });

  test('names every line that cannot be sold', async () => {
    const lines = ['LAMP', 'OLD', 'NEW', 'NONE'].map((productId) => ({ productId, quantity: 1n }));
    const error = await serve()
      .place({ ...request, lines }, testCall())
      .catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'PRODUCT_NOT_SOLD' });
    expect(error.violations.map(({ field }: { field: string }) => field)).toEqual([
      'lines[1].product_id',
      'lines[2].product_id',
      'lines[3].product_id',
    ]);
  });

  test('refuses prices that have changed since the buyer saw them, and names both; nothing is placed', async () => {
    const { place, log } = serve();
    const seen = {
      ...request,
      lines: request.lines.map((line, n) => ({ ...line, expectedUnitPrice: gbp([249n, 100n][n]!) })),
      expectedTotal: gbp(598n),
    };
    const error = await place(seen, testCall({ requestId: 'r1' })).catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'PRICE_CHANGED',
      metadata: {
        ...{ expected_total: '598', expected_currency: 'GBP', total: '600', currency: 'GBP' },
        ...{ changed_product_ids: 'LAMP', unit_prices: 'LAMP=250,VASE=100' },
      },
    });
    expect(error.violations.map(({ field }: { field: string }) => field)).toEqual([
      'lines[0].expected_unit_price',
      'expected_total',
    ]);
    expect(log.events).toEqual([]);
    await place({ ...request, expectedTotal: gbp(600n) }, testCall({ requestId: 'r2' }));
    // A repeat gets its answer, whatever the prices are.
    await place({ ...request, expectedTotal: gbp(600n) }, testCall({ requestId: 'r2' }));
    expect(log.events).toHaveLength(1);
    // A repeat without one must not read that the order is refused: the buyer would place another one.
    expect((await refusalOf(place({ ...request, expectedTotal: gbp(1n) }, testCall()))).reason).toBe('ORDER_EXISTS');
  });

  test('refuses a product in two lines, and an unknown or erased customer', async () => {
    const { place, log } = serve();
    const twice = [request.lines[0], request.lines[0]];
    expect(await refusalOf(place({ ...request, lines: twice }, testCall()))).toEqual({
      code: 'INVALID_ARGUMENT',
      reason: 'PRODUCT_TWICE',
    });
    expect(await refusalOf(place({ ...request, customerId: 'nobody' }, testCall()))).toEqual({
      code: 'FAILED_PRECONDITION',
      reason: 'CUSTOMER_UNKNOWN',
    });
    expect(await refusalOf(place({ ...request, customerId: 'erased' }, testCall()))).toEqual({
      code: 'FAILED_PRECONDITION',
      reason: 'CUSTOMER_ERASED',
    });
    expect(log.events).toEqual([]);
  });
});

describe('cancelling an order', () => {
  const cancellation = { requestId: '', orderId: 'o1', etag: '', reason: 'changed my mind' };

  test('is permitted to its buyer, and with the permission for all orders', async () => {
    const { place, cancel } = serve();
    await place(request, testCall());
    const stranger = cancel(cancellation, testCall({ subject: 'c2' }));
    expect(await refusalOf(stranger)).toEqual({ code: 'PERMISSION_DENIED', reason: 'NOT_OWNER' });
    expect((await cancel(cancellation, testCall({ subject: 'c1' }))).status).toBe(OrderStatus.ORDER_STATUS_CANCELLING);
  });

  test('is refused if the order has changed since it was read', async () => {
    const { place, cancel } = serve();
    const { etag } = await place(request, testCall());
    await cancel({ ...cancellation, etag }, testCall());
    expect(await refusalOf(cancel({ ...cancellation, etag }, testCall()))).toEqual({
      code: 'ABORTED',
      reason: 'ETAG_MISMATCH',
    });
  });

  test("with the etag of a command's answer depends on the order alone", async () => {
    const { place, cancel, viewed } = serve();
    const { etag } = await place(request, testCall());
    viewed.set('o1', '1-paid____');
    const stale = cancel({ ...cancellation, etag: '0' }, testCall());
    expect((await refusalOf(stale)).reason).toBe('ETAG_MISMATCH');
    const { status } = await cancel({ ...cancellation, etag }, testCall());
    expect(status).toBe(OrderStatus.ORDER_STATUS_CANCELLING);
  });

  test('with the etag of a view is refused once payment or shipment have changed since', async () => {
    const { place, cancel, viewed, options } = serve();
    await place(request, testCall());
    const read = '1-paid____';
    viewed.set('o1', '1-refunded');
    expect(await refusalOf(cancel({ ...cancellation, etag: read }, testCall()))).toEqual({
      code: 'ABORTED',
      reason: 'ETAG_MISMATCH',
    });
    const call = testCall();
    viewed.set('o1', read);
    await cancel({ ...cancellation, etag: read }, call);
    expect(options.at(-1)).toMatchObject({ origin: call.origin, signal: call.signal });
    expect((await refusalOf(cancel({ ...cancellation, orderId: 'o2', etag: '1-x' }, testCall()))).code).toBe('ABORTED');
  });
});

describe('returning pieces of an order', () => {
  const input = { requestId: '', orderId: 'o1', etag: '', returnId: '', reason: 'broken', refund: undefined };
  const lamps = (quantity: bigint) => [{ productId: 'LAMP', quantity }];

  test('is refused before it is sent, and by its etag', async () => {
    const { place, giveBack } = serve();
    await place(request, testCall());
    expect(await refusalOf(giveBack({ ...input, lines: lamps(1n) }, testCall()))).toEqual({
      code: 'FAILED_PRECONDITION',
      reason: 'ORDER_NOT_RETURNABLE',
    });
    expect((await refusalOf(giveBack({ ...input, etag: '9', lines: lamps(1n) }, testCall()))).code).toBe('ABORTED');
    const twice = [...lamps(1n), ...lamps(1n)];
    expect((await refusalOf(giveBack({ ...input, lines: twice }, testCall()))).reason).toBe('PRODUCT_TWICE');
    expect((await refusalOf(giveBack({ ...input, orderId: 'o2', lines: lamps(1n) }, testCall()))).code).toBe(
      'NOT_FOUND',
    );
  });

  test('is requested once a request id, under an id of its own', async () => {
    const { place, giveBack, log, aggregates, viewed } = serve();
    await place(request, testCall());
    await aggregates.execute({
      ...{ decider: orderDecider, id: 'o1', reply: () => undefined, replyCodec: noReply, origin: testCall().origin },
      // The shipment has left before the saga has confirmed the order.
      decide: (state) => [
        ...confirm(state, 'o1.1'),
        { $case: 'shipped', value: { customerId: 'c1', reservationId: 'o1.1' } },
      ],
    });
    const first = await giveBack({ ...input, lines: lamps(1n) }, testCall({ requestId: 'x' }));
    expect(first).toMatchObject({
      reservationId: 'o1.1',
      returns: [{ refund: gbp(250n), status: OrderReturnStatus.ORDER_RETURN_STATUS_REQUESTED, reason: 'broken' }],
      lines: [{ returnedQuantity: 0n }, { returnedQuantity: 0n }],
    });
    expect(await giveBack({ ...input, lines: lamps(1n) }, testCall({ requestId: 'x' }))).toEqual(first);
    expect(log.events).toHaveLength(4);
    viewed.set('o1', '3-shipped_');
    const mine = { ...input, returnId: 'mine', etag: first.etag, lines: lamps(1n) };
    const second = await giveBack(mine, testCall({ requestId: 'y' }));
    expect(second.returns.map(({ returnId }) => returnId)).toEqual([first.returns[0]!.returnId, 'mine']);
    const again = { ...input, returnId: 'mine', etag: first.etag, lines: lamps(1n) };
    expect((await refusalOf(giveBack(again, testCall()))).reason).toBe('RETURN_EXISTS');
    expect((await refusalOf(giveBack({ ...input, lines: lamps(1n) }, testCall()))).reason).toBe('RETURN_TOO_LARGE');
  });
});

describe('order details', () => {
  const order = {
    orderId: 'o1',
    customerId: 'c1',
    country: 'France',
    lines: [],
    total: gbp(600n),
    paymentMethod: undefined,
    reference: 'inv',
    attributes: {},
  };
  const buyer = { customerId: 'c1', reservationId: 'o1.1' };
  const day = (n: number) => new Date(`2026-01-0${n}T00:00:00Z`);

  test('do not depend on the order in which events of the three streams arrive', () => {
    const views = viewsOf(orderDetails, [
      {
        stream: 'orders.order/o1',
        from: day(1),
        events: [
          { $case: 'created', value: order },
          { $case: 'confirmed', value: buyer },
          { $case: 'shipped', value: buyer },
        ],
      },
      {
        stream: 'payments.payment/o1',
        from: day(1),
        events: [
          { $case: 'requested', value: { paymentId: 'o1', orderId: 'o1', customerId: 'c1', amount: gbp(600n) } },
          { $case: 'succeeded', value: { orderId: 'o1', gatewayReference: '' } },
        ],
      },
      {
        stream: 'shipping.shipment/o1',
        from: day(2),
        events: [
          { $case: 'created', value: { shipmentId: 'o1', orderId: 'o1', customerId: 'c1', country: '', lines: [] } },
          { $case: 'dispatched', value: { orderId: 'o1', shipmentId: 'o1', carrier: 'DHL', trackingNumber: '7' } },
        ],
      },
    ]);
    expect(views.get('o1')).toMatchObject({
      status: OrderStatus.ORDER_STATUS_SHIPPED,
      total: gbp(600n),
      payment: { status: 'succeeded', amount: gbp(600n) },
      shipments: [{ status: 'dispatched', carrier: 'DHL', trackingNumber: '7' }],
      updateTime: new Date('2026-01-02T00:00:01Z'),
    });
  });
});

describe('reading orders', () => {
  const asked: PersonalText[][] = [];
  const openTexts = async (texts: PersonalText[]) => {
    asked.push(texts);
    return texts.map(({ text }) => `opened ${text}`);
  };
  const views = { o1: Order.fromPartial({ orderId: 'o1', customerId: 'c1' }), o2: Order.fromPartial({}) };
  const read = (id: string, subject?: string) => {
    const { handlers } = orderQueryService({ views: fixedViews(views), openTexts });
    const call = handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<Order>>;
    return call.getOrder!({ orderId: id, readMask: undefined }, testCall({ subject }));
  };

  test('is permitted to the buyer; a view with only payment or shipment is no order yet', async () => {
    expect((await read('o1', 'c1')).orderId).toBe('o1');
    expect(await refusalOf(read('o1', 'c2'))).toEqual({ code: 'PERMISSION_DENIED', reason: 'NOT_OWNER' });
    expect(await refusalOf(read('o2'))).toEqual({ code: 'NOT_FOUND', reason: 'ORDER_NOT_FOUND' });
    expect(await refusalOf(read('o3'))).toEqual({ code: 'NOT_FOUND', reason: 'ORDER_NOT_FOUND' });
  });

  test('opens the references, which views have as the events do, all of a page at once', async () => {
    const reader = fixedViews({
      a: Order.fromPartial({ orderId: 'a', customerId: 'c1', reference: 'sealed a' }),
      b: Order.fromPartial({ orderId: 'b', customerId: 'c2' }),
      c: Order.fromPartial({ orderId: 'c', customerId: 'c3', reference: 'sealed c' }),
    });
    const { handlers } = orderQueryService({ views: reader, openTexts });
    const list = (handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<{ orders: Order[] }>>)
      .listOrders!;
    asked.length = 0;
    const { orders } = await list(ListOrdersRequest.fromPartial({}), testCall());
    expect(orders.map(({ reference }) => reference).sort()).toEqual(['', 'opened sealed a', 'opened sealed c']);
    expect(asked).toEqual([
      expect.arrayContaining([{ person: 'c1', entity: 'orders.order', field: 'reference', text: 'sealed a' }]),
    ]);
    await read('o1', 'c1');
    expect(asked).toHaveLength(1);
  });

  test('a page has at most 100 orders, even if more are requested', async () => {
    const reader = fixedViews(views);
    const { handlers } = orderQueryService({ views: reader, openTexts });
    const list = (handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<unknown>>)
      .listOrders!;
    for (const pageSize of [0, 7, 1000]) await list(ListOrdersRequest.fromPartial({ pageSize }), testCall());
    expect(reader.asked).toMatchObject([{ limit: 20 }, { limit: 7 }, { limit: 100 }]);
  });
});
