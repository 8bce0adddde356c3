/** Groups of orders, from events in a log to the answer, on the real stores. */
import { type EventOf, order, payment } from '@caudal/contract/entities.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import {
  type Order,
  OrderDimension,
  type OrderQueryServiceService,
  OrderStatus,
  type SummarizeOrdersRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { changeGenerations } from '@caudal/projections/generations/generations.ts';
import { collectionOf, createProjector } from '@caudal/projections/projector.ts';
import { openViews } from '@caudal/projections/queries/views.ts';
import { type TestStore, testStores } from '@caudal/projections/testing/stores.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { orderDetails } from '../projections/order-details.ts';
import { orderQueryService } from './order-query-service.ts';

const { ORDER_DIMENSION_STATUS, ORDER_DIMENSION_COUNTRY, ORDER_DIMENSION_CURRENCY } = OrderDimension;
const { ORDER_DIMENSION_CREATE_DAY, ORDER_DIMENSION_CREATE_MONTH, ORDER_DIMENSION_UNSPECIFIED } = OrderDimension;

const request: SummarizeOrdersRequest = {
  customerId: '',
  status: OrderStatus.ORDER_STATUS_UNSPECIFIED,
  startTime: undefined,
  endTime: undefined,
  groupBy: [],
  maxGroups: 0,
};

type OrderViews = Parameters<typeof orderQueryService>[0]['views'];

function serve(views: OrderViews) {
  const api = orderQueryService({ views, openTexts: async (texts) => texts.map(({ text }) => text) })
    .handlers as unknown as Handlers<OrderQueryServiceService>;
  return (change: Partial<SummarizeOrdersRequest>) => api.summarizeOrders({ ...request, ...change }, testCall());
}

describe('a summary of orders', () => {
  test('is bounded, and refused if its groups are invalid', async () => {
    const views = fixedViews<Order>({});
    const summarize = serve(views);
    for (const maxGroups of [0, 7, 5_000]) await summarize({ maxGroups });
    expect(views.grouped).toMatchObject([{ limit: 100 }, { limit: 7 }, { limit: 1_000 }]);
    for (const groupBy of [
      [ORDER_DIMENSION_UNSPECIFIED],
      [ORDER_DIMENSION_STATUS, ORDER_DIMENSION_STATUS],
      [ORDER_DIMENSION_CREATE_DAY, ORDER_DIMENSION_CREATE_MONTH],
    ])
      expect(await refusalOf(summarize({ groupBy }))).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
  });

  test('leaves out a sum that exceeds int64, instead of rounding it, and keeps the other groups', async () => {
    const rows = [
      { group: { currency: 'GBP' }, values: { orders: 9, total: 2n ** 63n } },
      { group: { currency: 'EUR' }, values: { orders: 2, total: 2n ** 63n - 1n } },
    ];
    const summarize = serve(fixedViews<Order>({}, '', { rows, more: false }));
    const { groups } = await summarize({ groupBy: [ORDER_DIMENSION_CURRENCY] });
    expect(groups).toMatchObject([
      { currency: 'GBP', orderCount: 9n, total: undefined },
      { currency: 'EUR', orderCount: 2n, total: { minorUnits: 2n ** 63n - 1n, currency: 'EUR' } },
    ]);
  });
});

for (const name of ['mongodb', 'postgres'] as const) {
  describeWith([name], `a summary of orders in ${name}`, () => {
    let place: TestStore;
    let summarize: ReturnType<typeof serve>;

    beforeAll(async () => {
      place = await testStores[name]();
      const { store } = place;
      const log = memoryLog({ domain: 'orders' });
      const payments = memoryLog({ domain: 'payments' });
      const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
      const append = (id: string, time: string, ...events: EventOf<typeof order>[]) =>
        log.append({
          stream: order.stream(id),
          expected: 'any',
          events: events.map((event) => newEvent({ entity: order, event, origin, now: new Date(time) })),
        });
      const created = (customerId: string, country: string, minorUnits: bigint, currency: string) =>
        ({
          $case: 'created',
          value: {
            ...{ customerId, country, total: { minorUnits, currency } },
            ...{ orderId: '', lines: [], paymentMethod: undefined, reference: '', attributes: {} },
          },
        }) satisfies EventCase as EventOf<typeof order>;
      const confirmed: EventOf<typeof order> = { $case: 'confirmed', value: { customerId: 'c1' } };
      await append('1', '2026-02-28T23:59:59.999Z', created('c1', 'UK', 2n ** 62n, 'GBP'), confirmed);
      await append('2', '2026-03-01T00:00:00Z', created('c1', 'UK', 2n ** 62n - 1n, 'GBP'), confirmed);
      await append('3', '2026-03-01T12:00:00Z', created('c2', 'France', 250n, 'EUR'));
      await append('4', '2026-03-02T00:00:00Z', created('c2', 'UK', 1n, 'GBP'));
      await append('5', '2026-03-02T01:00:00Z', created('c2', 'UK', 3n, 'GBP'));
      // A payment whose event arrives before its order's.
      const early: EventOf<typeof payment> = { $case: 'succeeded', value: { orderId: '6', gatewayReference: '' } };
      const events = [newEvent({ entity: payment, event: early, origin, now: new Date() })];
      await payments.append({ stream: payment.stream('6'), expected: 'any', events });

      const generation = { projection: orderDetails, store, generation: 1 };
      const collection = collectionOf(generation);
      await collection.create();
      await createProjector(generation).handle([...log.events, ...payments.events]);
      await changeGenerations(orderDetails, store, () => ({
        last: 1,
        generations: [{ number: 1, fed: true, from: 0 }],
      }));
      const views = openViews({ projection: orderDetails, store });
      summarize = serve({
        ...views,
        count: (where) => views.count(where),
        aggregate: (query) => views.aggregate(query),
      } as OrderViews);
    });
    afterAll(() => place.remove());

    const brief = async (change: Partial<SummarizeOrdersRequest>) => {
      const { groups, more } = await summarize(change);
      const rows = groups.map(({ status, country, currency, createTime, orderCount, total }) =>
        [status || '', country, currency, createTime?.toISOString().slice(0, 10), orderCount, total?.minorUnits]
          .filter((part) => part !== '' && part !== undefined)
          .join(' '),
      );
      return more ? [...rows, 'more'] : rows;
    };

    test('all of them in one group', async () => {
      expect(await brief({})).toEqual(['5']);
      expect(await brief({ customerId: 'nobody' })).toEqual(['0']);
    });

    test('by status and country, the largest group first', async () => {
      const groupBy = [ORDER_DIMENSION_STATUS, ORDER_DIMENSION_COUNTRY];
      expect(await brief({ groupBy })).toEqual(['1 UK 2', '2 UK 2', '1 France 1']);
      expect(await brief({ groupBy, maxGroups: 1 })).toEqual(['1 UK 2', 'more']);
      expect(await brief({ groupBy, status: OrderStatus.ORDER_STATUS_CONFIRMED })).toEqual(['2 UK 2']);
      expect(await brief({ groupBy, customerId: 'c1' })).toEqual(['2 UK 2']);
    });

    test('by currency, with totals exact to the minor unit', async () => {
      const groupBy = [ORDER_DIMENSION_CURRENCY];
      expect(await brief({ groupBy, customerId: 'c1' })).toEqual([`GBP 2 ${2n ** 63n - 1n}`]);
      expect(await brief({ groupBy })).toEqual(['GBP 4', 'EUR 1 250']);
    });

    test('by day and month of UTC, the newest first', async () => {
      expect(await brief({ groupBy: [ORDER_DIMENSION_CREATE_DAY] })).toEqual([
        '2026-03-02 2',
        '2026-03-01 2',
        '2026-02-28 1',
      ]);
      expect(await brief({ groupBy: [ORDER_DIMENSION_CREATE_MONTH] })).toEqual(['2026-03-01 4', '2026-02-01 1']);
      const march = { startTime: new Date('2026-03-01T00:00:00Z'), endTime: new Date('2026-03-02T00:00:00Z') };
      expect(await brief({ groupBy: [ORDER_DIMENSION_CREATE_DAY], ...march })).toEqual(['2026-03-01 2']);
    });
  });
}
