import type { EventOf, order } from '@caudal/contract/entities.ts';
import { ListSalesRequest, ListSalesResponse, Sales } from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { gatheredViews, type LogEvent } from '@caudal/testing/gathered.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { netRevenue, salesByDay } from './projections/sales-by-day.ts';
import { salesQueryService } from './queries/sales-query-service.ts';

type OrderEvent = EventOf<typeof order>;

const buyer = { customerId: 'c1' };
const confirmed: OrderEvent = { $case: 'confirmed', value: buyer };
const shipped: OrderEvent = { $case: 'shipped', value: buyer };
const delivered: OrderEvent = { $case: 'delivered', value: buyer };
const rejected: OrderEvent = { $case: 'rejected', value: { reason: 'CARD_DECLINED', ...buyer } };
const cancelRequested: OrderEvent = { $case: 'cancelRequested', value: { reason: '' } };
const cancelRefused: OrderEvent = { $case: 'cancelRefused', value: { reason: '' } };
const cancelled: OrderEvent = { $case: 'cancelled', value: buyer };

function created(country: string, minorUnits: bigint, { currency = 'GBP', pieces = 1n } = {}): OrderEvent {
  const lines = [
    { productId: 'LAMP', quantity: pieces, unitPrice: undefined, title: 'Lamp' },
    { productId: 'VASE', quantity: 1n, unitPrice: undefined, title: 'Vase' },
  ];
  const rest = { orderId: '', paymentMethod: undefined, reference: '', attributes: {}, ...buyer };
  return { $case: 'created', value: { country, lines, total: { minorUnits, currency }, ...rest } };
}

/** The lives of orders, an event a minute each, all beginning at the same moment. */
function salesOf(lives: OrderEvent[][], from = '2026-03-01T12:00:00Z') {
  const log = lives.flatMap((events, order) =>
    events.map((event, index): LogEvent => {
      return { stream: `orders.order/${order}`, at: new Date(Date.parse(from) + index * 60_000), event };
    }),
  );
  const inTime = log.toSorted((a, b) => a.at.getTime() - b.at.getTime());
  return Object.fromEntries(gatheredViews(salesByDay, inTime));
}

const sales = (country: string, day: string, figures: Partial<Sales>) =>
  Sales.fromPartial({ country, day, ...figures });

describe('sales by country and day', () => {
  test('count an order as placed at once, and as sold when it is paid and its pieces are out of the stock', () => {
    const day = '2026-03-01';
    const lives = [
      [created('France', 500n, { pieces: 3n })],
      [created('France', 700n, { pieces: 2n }), confirmed, shipped, delivered],
      [created('Spain', 900n), confirmed],
    ];
    expect(salesOf(lives)).toEqual({
      '2026-03-01/France': sales('France', day, {
        placedOrders: 2n,
        soldOrders: 1n,
        soldPieces: 3n,
        revenue: [{ minorUnits: 700n, currency: 'GBP' }],
      }),
      '2026-03-01/Spain': sales('Spain', day, {
        placedOrders: 1n,
        soldOrders: 1n,
        soldPieces: 2n,
        revenue: [{ minorUnits: 900n, currency: 'GBP' }],
      }),
    });
  });

  test('take back what is cancelled or rejected, sold before or not', () => {
    const lives = [
      [created('France', 500n), cancelRequested, cancelled],
      [created('France', 600n), confirmed, cancelRequested, cancelled],
      [created('France', 700n), rejected],
      [created('France', 800n), confirmed, rejected],
      [created('France', 900n), confirmed],
    ];
    expect(salesOf(lives)).toEqual({
      '2026-03-01/France': sales('France', '2026-03-01', {
        placedOrders: 5n,
        soldOrders: 1n,
        soldPieces: 2n,
        revenue: [{ minorUnits: 900n, currency: 'GBP' }],
        cancelledOrders: 2n,
        rejectedOrders: 2n,
      }),
    });
    // A day of which nothing is left has no revenue, not one of nothing.
    expect(salesOf(lives.slice(0, 4))['2026-03-01/France']).toMatchObject({
      soldOrders: 0n,
      soldPieces: 0n,
      revenue: [],
    });
  });

  test('count one as sold that left the warehouse while it was being cancelled, and once only', () => {
    const figures = { placedOrders: 1n, soldOrders: 1n, revenue: [{ minorUnits: 500n, currency: 'GBP' }] };
    for (const life of [
      [created('France', 500n), cancelRequested, cancelRefused, shipped, delivered],
      [created('France', 500n), confirmed, cancelRequested, cancelRefused, shipped],
    ])
      expect(salesOf([life])['2026-03-01/France']).toMatchObject(figures);
  });

  test('keep currencies apart, and sums that no double holds', () => {
    const large = 999_999_999_999_999n;
    const lives = [
      [created('France', 5n, { currency: 'USD' }), confirmed],
      ...Array.from({ length: 20 }, () => [created('France', large, { currency: 'EUR' }), confirmed]),
    ];
    const view = salesOf(lives)['2026-03-01/France']!;
    expect(view.revenue).toEqual([
      { minorUnits: 20n * large, currency: 'EUR' },
      { minorUnits: 5n, currency: 'USD' },
    ]);
    const encoded = ListSalesResponse.encode({ sales: [view], nextPageToken: '' }).finish();
    expect(ListSalesResponse.decode(encoded).sales).toEqual([view]);
    expect(Sales.toJSON(view)).toMatchObject({ revenue: [{ minorUnits: '19999999999999980' }, { minorUnits: '5' }] });
    const tooMuch = Array.from({ length: 9_300 }, () => [created('France', large), confirmed]);
    expect(() => salesOf(tooMuch)).toThrow('more than 64 bits hold');
  });

  test('say what was returned beside what was sold, at the price of the sale, whenever it comes back', () => {
    const asked = (returnId: string): OrderEvent => ({
      $case: 'returnRequested',
      value: { returnId, lines: [{ productId: 'LAMP', quantity: 1n }], refund: undefined, reason: '' },
    });
    const back = (returnId: string, pieces: bigint, price: bigint, refund = price): OrderEvent => ({
      $case: 'returned',
      value: {
        ...{ returnId, refundRefusal: '', ...buyer, pieces },
        ...{ refund: { minorUnits: refund, currency: 'GBP' }, price: { minorUnits: price, currency: 'GBP' } },
      },
    });
    const refused: OrderEvent = { $case: 'returnRefused', value: { returnId: 'r3', reason: 'NOT_LEFT' } };
    const lives = [
      // One before it is delivered, one after; one of which less was refunded; one that was refused.
      [created('France', 900n, { pieces: 3n }), confirmed, shipped, asked('r1'), back('r1', 1n, 200n), delivered],
      [
        created('France', 500n),
        confirmed,
        shipped,
        delivered,
        asked('r1'),
        back('r1', 1n, 300n, 0n),
        asked('r3'),
        refused,
      ],
      [created('Spain', 700n), confirmed, shipped, delivered, asked('r1'), back('r1', 2n, 700n)],
      [created('Spain', 50n, { currency: 'EUR' }), confirmed],
    ];
    const { '2026-03-01/France': france, '2026-03-01/Spain': spain } = salesOf(lives);
    expect(france).toMatchObject({ soldOrders: 2n, soldPieces: 6n, returnedPieces: 2n });
    expect(france!.revenue).toEqual([{ minorUnits: 1400n, currency: 'GBP' }]);
    expect(france!.returnedRevenue).toEqual([{ minorUnits: 500n, currency: 'GBP' }]);
    expect(netRevenue(france!)).toEqual([{ minorUnits: 900n, currency: 'GBP' }]);
    expect(netRevenue(spain!)).toEqual([
      { minorUnits: 50n, currency: 'EUR' },
      { minorUnits: 0n, currency: 'GBP' },
    ]);
  });

  test('count a return that was recorded without its price by its refund', () => {
    const old: OrderEvent = {
      $case: 'returned',
      value: { returnId: 'r1', refund: { minorUnits: 120n, currency: 'GBP' }, refundRefusal: '', ...buyer },
    };
    const view = salesOf([[created('France', 500n), confirmed, shipped, delivered, old]])['2026-03-01/France']!;
    expect(netRevenue(view)).toEqual([{ minorUnits: 380n, currency: 'GBP' }]);
  });

  test('have ids that every store takes, whatever a country is called', () => {
    const [id] = Object.keys(salesOf([[created('\u{1F1EB}'.repeat(100), 1n)]]));
    expect(Buffer.byteLength(id!)).toBeLessThanOrEqual(512);
  });

  test('are of the UTC day on which the order was placed, whenever the rest happens', () => {
    expect(Object.keys(salesOf([[created('France', 1n), confirmed]], '2026-02-28T23:59:59.999Z'))).toEqual([
      '2026-02-28/France',
    ]);
    expect(Object.keys(salesOf([[created('France', 1n), confirmed]], '2026-03-01T00:00:00.000Z'))).toEqual([
      '2026-03-01/France',
    ]);
  });
});

test('sales are asked for by country and days, in pages, the oldest first', async () => {
  const reader = fixedViews({ '2026-03-01/France': sales('France', '2026-03-01', { placedOrders: 1n }) }, 'more');
  const { handlers } = salesQueryService({ views: reader });
  const list = (handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<ListSalesResponse>>)
    .listSales!;
  const answer = await list(
    ListSalesRequest.fromPartial({ country: 'France', fromDay: '2026-03-01', pageSize: 500 }),
    testCall(),
  );
  expect(answer).toEqual({ sales: [sales('France', '2026-03-01', { placedOrders: 1n })], nextPageToken: 'more' });
  await list(ListSalesRequest.fromPartial({}), testCall());
  expect(reader.asked).toEqual([
    {
      where: [
        { key: 'country', equals: 'France' },
        { key: 'day', atLeast: '2026-03-01', atMost: undefined },
      ],
      orderBy: [{ key: 'day' }, { key: 'country' }],
      limit: 100,
      pageToken: '',
    },
    { where: [], orderBy: [{ key: 'day' }, { key: 'country' }], limit: 20, pageToken: '' },
  ]);
});

test.each([
  [{ fromDay: '2026-02-31' }, 'from_day'],
  [{ toDay: '2025-02-29' }, 'to_day'],
  [{ fromDay: '2026-03-02', toDay: '2026-03-01' }, 'from_day'],
])('days that do not exist, or in the wrong order, are refused: %j', async (request, field) => {
  const { handlers } = salesQueryService({ views: fixedViews({}, '') });
  const list = (handlers as unknown as Record<string, (request: unknown, call: Call) => Promise<ListSalesResponse>>)
    .listSales!;
  await expect(list(ListSalesRequest.fromPartial(request), testCall())).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    violations: [expect.objectContaining({ field })],
  });
});
