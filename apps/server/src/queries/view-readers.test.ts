import { openCache } from '@caudal/cache/cache.ts';
import type { Cache } from '@caudal/cache/types.ts';
import { type EventOf, payment } from '@caudal/contract/entities.ts';
import { Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { Epoch } from '@caudal/eventlog/epochs.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { StoredDocument } from '@caudal/projections/stores/store.ts';
import { openWaits } from '@caudal/rpc/server/waits.ts';
import { orderDetails } from '@caudal/service-orders/projections/order-details.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cacheKey } from '../caching/view-caching.ts';
import { storeOf } from '../testing/store-of.ts';
import { viewReader } from './view-readers.ts';

/** A store whose documents a test sets directly, and that can be unreachable. */
function fakeStore() {
  const documents = new Map<string, StoredDocument>([
    [
      `order-details.v${orderDetails.version}`,
      document(`order-details.v${orderDetails.version}`, { last: 1, generations: [{ number: 1, fed: true, from: 0 }] }),
    ],
  ]);
  const state = { away: false, loads: [] as string[], documents, counted: 0 };
  const collection = {
    async load(ids: string[]) {
      if (state.away) throw unavailable('the store');
      state.loads.push(...ids);
      return ids.flatMap((id) => documents.get(id) ?? []);
    },
    async refresh() {},
    async count() {
      state.counted += 1;
      return 1;
    },
    async aggregate() {
      state.counted += 1;
      return [{ group: ['2'], computed: [1n] }];
    },
  };
  return { store: storeOf(collection), state };
}

function document(id: string, view: unknown, revision = 1): StoredDocument {
  return { id, revision, streams: { [`orders.order/${id}`]: revision }, view };
}

const order = (reference: string) => Order.toJSON(Order.fromPartial({ orderId: 'o1', customerId: 'c1', reference }));

describe('a view reader', () => {
  let cache: Cache;
  beforeEach(async () => {
    cache = await openCache({ namespace: 'test', maxEntries: 100 });
  });
  afterEach(() => cache.stop());

  function open({ cacheMs }: { cacheMs?: number } = {}) {
    const { store, state } = fakeStore();
    const caching = cacheMs === undefined ? undefined : { strategy: 'cache-aside' as const, ms: cacheMs };
    const definition = { projection: orderDetails, store: 'documents' as const, cache: caching };
    const payments = memoryLog({ domain: 'payments' });
    const logs = new Map([['payments', payments]]);
    const reader = viewReader<Order>({
      definition,
      store,
      logs,
      cache,
      waits: openWaits(1_000),
      cacheIsInvalidated: true,
    });
    const call = testCall();
    const read = async (id: string) => (await reader.get(id, call))?.view.reference;
    return { reader, read, state, payments, ages: call.ages };
  }

  test('reads the store once, until the view is invalidated', async () => {
    const { read, state } = open();
    state.documents.set('o1', document('o1', order('first')));
    expect([await read('o1'), await read('o1')]).toEqual(['first', 'first']);
    expect(state.loads.filter((id) => id === 'o1')).toHaveLength(1);
    state.documents.set('o1', document('o1', order('second'), 2));
    await cache.invalidate({ key: cacheKey(orderDetails, 1, 'o1'), version: 2 });
    expect(await read('o1')).toBe('second');
  });

  test('a view with a version of today proves nothing of a write before a fail-over', async () => {
    const { store, state } = fakeStore();
    let epochs: Epoch[] = [];
    const orders: LogReader = {
      ...memoryLog({ domain: 'orders' }),
      epochs: () => epochs,
      // Nothing else reads it in this process.
      async readLog() {
        epochs = [{ number: 5, after: 0 }];
        return { events: [], head: 0 };
      },
      // Others have written this version again.
      readStreams: async () => [{ epoch: 5 } as RecordedEvent],
    };
    const logs = new Map([
      ['orders', orders],
      ['payments', memoryLog({ domain: 'payments' })],
    ]);
    const definition = { projection: orderDetails, store: 'documents' as const };
    const reader = viewReader<Order>({
      definition,
      store,
      logs,
      cache,
      waits: openWaits(1_000),
      cacheIsInvalidated: true,
    });
    state.documents.set('o1', document('o1', order('of others'), 2));
    const get = (epoch?: number) => {
      const write = { stream: 'orders.order/o1', version: 2, ...(epoch && { epoch }) };
      return reader.get('o1', { ...testCall(), consistency: [write] });
    };
    expect((await refusalOf(get())).reason).toBe('WRITE_LOST');
    expect((await get(5))?.view.reference).toBe('of others');
  });

  test.each([
    ['5 seconds ago, in which a last write of the rebuild may have invalidated nothing', 5_000, 'second'],
    ['a minute ago', 60_000, 'first'],
  ])('of a generation that queries read since %s', async (_, ago, expected) => {
    await cache.stop();
    cache = await openCache({ namespace: 'test', maxEntries: 100, localTtlMs: 60_000 });
    const { read, state } = open();
    const name = `order-details.v${orderDetails.version}`;
    state.documents.set(
      name,
      document(name, { last: 1, generations: [{ number: 1, fed: true, from: Date.now() - ago }] }),
    );
    state.documents.set('o1', document('o1', order('first')));
    expect(await read('o1')).toBe('first');
    state.documents.set('o1', document('o1', order('second'), 2));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await read('o1')).toBe(expected);
  });

  test('a read of the cache that is refused costs a read of the store, as one of a missing view does', async () => {
    const { reader, state } = open();
    state.documents.set('o1', document('o1', order('first')));
    const balances: (() => Promise<unknown>)[] = [];
    const call = { ...testCall(), balance: (work: () => Promise<unknown>) => void balances.push(work) };
    const loadsOf = async (id: string) => {
      const before = state.loads.length;
      await reader.get(id, call);
      for (const work of balances.splice(0)) await work();
      return state.loads.length - before;
    };
    // The first one reads which generation there is, too.
    await loadsOf('first');
    expect([await loadsOf('o1'), await loadsOf('o1'), await loadsOf('none'), await loadsOf('none')]).toEqual([
      1, 1, 1, 1,
    ]);
  });

  test('concurrent reads share one load', async () => {
    const { read, state } = open();
    state.documents.set('o1', document('o1', order('first')));
    const all = await Promise.all(Array.from({ length: 20 }, () => read('o1')));
    expect(all).toEqual(Array(20).fill('first'));
    expect(state.loads.filter((id) => id === 'o1')).toHaveLength(1);
  });

  test('a token of a stream that is new to the view is not answered by an older cached view', async () => {
    const { reader, read, state, payments } = open();
    // First, since it may take a while: this process answers from its memory for a second.
    const event: EventOf<typeof payment> = { $case: 'succeeded', value: { orderId: 'o1', gatewayReference: '' } };
    const { origin } = testCall();
    const events = [newEvent({ entity: payment, event, origin, now: new Date() })];
    await payments.append({ stream: 'payments.payment/o1', expected: 0, events });
    state.documents.set('o1', document('o1', order('unpaid')));
    expect(await read('o1')).toBe('unpaid');
    const paid = { ...document('o1', order('paid'), 2), streams: { 'orders.order/o1': 1, 'payments.payment/o1': 1 } };
    state.documents.set('o1', paid);
    const reading = async (stream: string) =>
      (await reader.get('o1', { ...testCall(), consistency: [{ stream, version: 1 }] }))?.view.reference;
    // The view does not follow stock: that token does not concern it, and the cache may answer.
    expect(await reading('inventory.stock/s1')).toBe('unpaid');
    expect(await reading('payments.payment/o1')).toBe('paid');
  });

  test('a view with the events of a token costs one load, or none; a token of another view costs nothing', async () => {
    const { reader, state } = open();
    state.documents.set('o1', document('o1', order('first'), 2));
    const reading = async (id: string, stream: string, version: number) =>
      (await reader.get(id, { ...testCall(), consistency: [{ stream, version }] }))?.view.reference;
    const loaded = () => state.loads.filter((id) => id === 'o1').length;
    expect(await reading('o1', 'orders.order/o1', 2)).toBe('first');
    expect(loaded()).toBe(1);
    expect(await reading('o1', 'orders.order/o1', 1)).toBe('first');
    // That order's view is not there yet. The payment of this one would be in this view.
    expect(await reading('o1', 'orders.order/o2', 1)).toBe('first');
    expect(loaded()).toBe(1);
    state.documents.set('o1', { ...document('o1', order('paid'), 3), streams: { 'payments.payment/o1': 1 } });
    expect(await reading('o1', 'payments.payment/o1', 1)).toBe('paid');
    expect(loaded()).toBe(2);
    expect(await refusalOf(reading('o1', 'payments.payment/o1', 2))).toEqual({
      code: 'UNAVAILABLE',
      reason: 'NOT_YET_VISIBLE',
    });
  });

  test('counts and sums wait for the events of a token, like lists', async () => {
    const { reader, state, payments } = open();
    const event: EventOf<typeof payment> = { $case: 'succeeded', value: { orderId: 'o1', gatewayReference: '' } };
    const events = [newEvent({ entity: payment, event, origin: testCall().origin, now: new Date() })];
    await payments.append({ stream: 'payments.payment/o1', expected: 0, events });
    const call = { ...testCall(), consistency: [{ stream: 'payments.payment/o1', version: 1 }] };
    const byStatus = { groupBy: ['status'], compute: { orders: 'count' }, limit: 5 } as const;
    const answers = Promise.all([reader.count([], call), reader.aggregate(byStatus, call)]);
    expect(state.counted).toBe(0);
    state.documents.set('o1', { ...document('o1', order('paid')), streams: { 'payments.payment/o1': 1 } });
    expect(await answers).toEqual([1, { rows: [{ group: { status: '2' }, values: { orders: 1 } }], more: false }]);
    expect(state.counted).toBe(2);
    const early = reader.count([], { ...call, consistency: [{ stream: 'payments.payment/o1', version: 2 }] });
    expect(await refusalOf(early)).toEqual({ code: 'UNAVAILABLE', reason: 'NOT_YET_VISIBLE' });
    expect(state.counted).toBe(2);
  });

  test('does not cache a missing view', async () => {
    const { read, state } = open();
    expect(await read('o1')).toBeUndefined();
    state.documents.set('o1', document('o1', order('late')));
    expect(await read('o1')).toBe('late');
  });

  test('serves cached views while the store is unreachable, and fails for the others', async () => {
    // Expired when it is read again.
    const { read, state, ages } = open({ cacheMs: 500 });
    state.documents.set('o1', document('o1', order('remembered')));
    expect(await read('o1')).toBe('remembered');
    expect(ages).toEqual([]);
    state.away = true;
    // Longer than the number of the current generation is cached.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await read('o1')).toBe('remembered');
    expect(ages).toEqual([expect.any(Number)]);
    expect(ages[0]).toBeGreaterThanOrEqual(1_000);
    expect(await refusalOf(read('o2'))).toEqual({ code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' });
    state.away = false;
    state.documents.set('o1', document('o1', order('back'), 2));
    expect(await read('o1')).toBe('back');
  });
});
