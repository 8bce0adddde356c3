import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openReservation, stockDecider } from '../domain/stock.ts';
import { about, lines, releasing, reserving, untouched } from '../testing/reservation-requests.ts';
import { expireReservation } from './expire-reservation.ts';
import { inventoryService } from './inventory-service.ts';

const start = new Date('2026-01-01T00:00:00Z');
let now: Date;
/** Streams whose appends fail: before or after the append has landed. */
let failing: Map<string, 'before' | 'after'>;

/** How many lines are one append. With one, as by version 0.2, a call may break off between its lines. */
let linesAUnit: number;

/** A restart: the same log, nothing in memory. */
function restart(log: ReturnType<typeof memoryLog>) {
  const aggregates = openAggregates({ log, clock: () => now, ids: newId });
  const { handlers } = inventoryService({ aggregates, clock: () => now, linesAUnit });
  return { aggregates, api: handlers as unknown as Handlers<InventoryServiceService> };
}

function freshLog() {
  return memoryLog({
    domain: 'inventory',
    clock: () => now,
    async call(judge, appends) {
      await new Promise(setImmediate);
      const streams = appends.flatMap((append) => [append, ...(append.also ?? [])]).map(({ stream }) => stream);
      const how = streams.map((stream) => failing.get(stream.split('/')[1]!)).find((found) => found);
      if (how === 'before') throw unavailable('PostgreSQL');
      judge();
      if (how === 'after') throw unavailable('PostgreSQL');
    },
  });
}

let log: ReturnType<typeof memoryLog>;
let { api, aggregates } = {} as ReturnType<typeof restart>;

beforeEach(async () => {
  now = start;
  failing = new Map();
  log = freshLog();
  ({ api, aggregates } = restart(log));
  for (const productId of ['A', 'B']) {
    await api.createStockItem({ requestId: '', productId, kind: '', policy: {}, quantity: 10n }, testCall());
  }
});

/** On hand and reserved of a product, and whether the reservation holds pieces of it. */
async function stock(productId: string, reservationId = 'r1') {
  const { state } = await aggregates.load(stockDecider, productId);
  return { onHand: state.onHand, reserved: state.reserved, open: openReservation(state, reservationId) !== undefined };
}

describe('stock items', () => {
  test('creating, restocking and adjusting answer with the stock, and with a consistency token', async () => {
    const call = testCall({ requestId: 'x' });
    const input = { requestId: '', productId: 'C', kind: 'premium', policy: { safety_stock: '2' }, quantity: 5n };
    const expected = {
      productId: 'C',
      kind: 'premium',
      onHand: 5n,
      reserved: 0n,
      available: 3n,
      etag: '1',
      updateTime: start,
    };
    expect(await api.createStockItem(input, call)).toMatchObject(expected);
    expect(call.written).toEqual([{ stream: 'inventory.stock/C', version: 1 }]);
    expect(await api.createStockItem(input, testCall({ requestId: 'x' }))).toMatchObject(expected);
    expect(await api.restock({ requestId: '', productId: 'C', quantity: 5n }, testCall())).toMatchObject({
      available: 8n,
      etag: '2',
    });
    const adjusted = await api.adjustStock({ requestId: '', productId: 'C', delta: -1n, reason: 'broken' }, testCall());
    expect(adjusted).toMatchObject({ onHand: 9n, available: 7n });
  });
});

describe.each([
  { way: 'in one append', most: 100 },
  { way: 'in an append a line', most: 1 },
])('lines $way', ({ most }) => {
  beforeEach(() => {
    linesAUnit = most;
    ({ api, aggregates } = restart(log));
  });

  describe('ReserveStock', () => {
    test('reserves all lines until the same time', async () => {
      const call = testCall({ requestId: 'x' });
      const reservation = await api.reserveStock(reserving('r1', lines(3n, 4n)), call);
      const expireTime = new Date(start.getTime() + 60_000);
      expect(reservation).toEqual({ reservationId: 'r1', lines: lines(3n, 4n), expireTime });
      expect(call.written).toHaveLength(2);
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
      now = new Date(start.getTime() + 5_000);
      expect(await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall({ requestId: 'x' }))).toEqual(reservation);
      expect(await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall({ requestId: 'y' }))).toEqual(reservation);
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
    });

    test('holds for 15 minutes if the request has no ttl', async () => {
      const reservation = await api.reserveStock({ ...reserving('r1', lines(3n, 4n)), ttl: undefined }, testCall());
      expect(reservation.expireTime).toEqual(new Date(start.getTime() + 900_000));
    });

    test('refuses all lines if one is refused, names it, and holds nothing', async () => {
      const error = (await api
        .reserveStock(reserving('r1', lines(3n, 11n)), testCall({ requestId: 'x' }))
        .catch((e) => e)) as CaudalError;
      expect(error).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'INSUFFICIENT_STOCK' });
      expect(error.violations).toEqual([
        { field: 'lines[1].quantity', description: '10 of "B" can be promised, not 11.' },
      ]);
      expect(await stock('A')).toEqual(untouched);
      const unknown = [...lines(1n, 1n), { productId: 'X', quantity: 1n }];
      expect(await refusalOf(api.reserveStock(reserving('r2', unknown), testCall()))).toEqual({
        code: 'FAILED_PRECONDITION',
        reason: 'INSUFFICIENT_STOCK',
      });
      expect(await stock('A', 'r2')).toEqual(untouched);
    });

    test('a repeat of a refused call never answers with lines that the first call released', async () => {
      const request = reserving('r1', lines(3n, 11n));
      await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })));
      await api.restock({ requestId: '', productId: 'B', quantity: 5n }, testCall());
      // The first call left nothing behind.
      await api.reserveStock(request, testCall({ requestId: 'x' }));
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
      expect(await stock('B')).toEqual({ onHand: 15n, reserved: 11n, open: true });
    });

    test.each(['before', 'after'] as const)(
      'a line that fails %s it has landed: UNAVAILABLE, and the repeat finishes',
      async (how) => {
        failing.set('B', how);
        const request = reserving('r1', lines(3n, 4n));
        expect((await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })))).code).toBe('UNAVAILABLE');
        failing.clear();
        ({ api, aggregates } = restart(log));
        await api.reserveStock(request, testCall({ requestId: 'x' }));
        expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
        expect(await stock('B')).toEqual({ onHand: 10n, reserved: 4n, open: true });
      },
    );

    test.each(['before', 'after'] as const)(
      'a line that fails %s it has landed: a release wins, and bars the repeat',
      async (how) => {
        failing.set('B', how);
        const request = reserving('r1', lines(3n, 4n));
        await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })));
        failing.clear();
        ({ api, aggregates } = restart(log));
        await api.releaseReservation(releasing('r1', lines(3n, 4n)), testCall());
        const reason = (await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })))).reason;
        expect(['RESERVATION_ENDED', 'RESERVATION_BARRED']).toContain(reason);
        expect(await stock('A')).toEqual(untouched);
        expect(await stock('B')).toEqual(untouched);
      },
    );

    test('what an earlier call holds ends with a refusal, if that fails with its repeat', async () => {
      // By a call that broke off after one line.
      await api.reserveStock(reserving('r1', lines(3n, 11n).slice(0, 1)), testCall());
      const request = reserving('r1', lines(3n, 11n));
      failing.set('A', 'before');
      expect((await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })))).code).toBe('UNAVAILABLE');
      expect(await stock('A')).toMatchObject({ open: true });
      failing.clear();
      for (const _ of [1, 2]) {
        const again = await refusalOf(api.reserveStock(request, testCall({ requestId: 'x' })));
        expect(again.reason).toBe('INSUFFICIENT_STOCK');
        expect(await stock('A')).toEqual(untouched);
      }
    });

    test('a repeat with other quantities is refused, and the reservation stays', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      expect((await refusalOf(api.reserveStock(reserving('r1', lines(3n, 5n)), testCall()))).reason).toBe(
        'RESERVATION_MISMATCH',
      );
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
      expect(await stock('B')).toEqual({ onHand: 10n, reserved: 4n, open: true });
    });

    test('refuses a product in two lines, and the request id of another request', async () => {
      const twice = [...lines(1n, 1n), { productId: 'A', quantity: 2n }];
      expect(await refusalOf(api.reserveStock(reserving('r1', twice), testCall()))).toEqual({
        code: 'INVALID_ARGUMENT',
        reason: 'PRODUCT_TWICE',
      });
      await api.reserveStock(reserving('r1', lines(1n, 1n).slice(0, 1)), testCall({ requestId: 'x', content: 'one' }));
      expect(
        await refusalOf(api.reserveStock(reserving('r2', lines(1n, 1n)), testCall({ requestId: 'x', content: 'two' }))),
      ).toEqual({
        code: 'INVALID_ARGUMENT',
        reason: 'REQUEST_ID_REUSED',
      });
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 1n, open: true });
      expect(await stock('B', 'r2')).toEqual(untouched);
    });

    test('bounds the attributes of the buyer, and the settings of a kind of stock', async () => {
      const long = { tier: 'x'.repeat(201) };
      const reserve = api.reserveStock({ ...reserving('r1', lines(1n, 1n)), attributes: long }, testCall());
      expect((await refusalOf(reserve)).reason).toBe('INVALID_FIELD');
      const item = { requestId: '', productId: 'C', kind: 'premium', policy: { tiers: long.tier }, quantity: 1n };
      expect((await refusalOf(api.createStockItem(item, testCall()))).reason).toBe('INVALID_FIELD');
    });

    test('never takes back pieces that another call has committed', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      const more = [
        { productId: 'A', quantity: 3n },
        { productId: 'B', quantity: 5n },
      ];
      expect((await refusalOf(api.reserveStock(reserving('r1', more), testCall()))).reason).toBe(
        'RESERVATION_MISMATCH',
      );
      expect(await stock('A')).toEqual({ onHand: 7n, reserved: 0n, open: false });
    });

    test('forty calls at once never promise more pieces than there are', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 40 }, (_, n) =>
          api.reserveStock(reserving(`r${n}`, lines(1n, 1n)), testCall({ requestId: `x${n}` })),
        ),
      );
      const done = results.filter(({ status }) => status === 'fulfilled').length;
      expect(done).toBeGreaterThan(0);
      expect(await stock('A')).toMatchObject({ onHand: 10n, reserved: BigInt(done) });
      expect(await stock('B')).toMatchObject({ onHand: 10n, reserved: BigInt(done) });
    });
  });

  describe('CommitReservation', () => {
    const request = about('r1', lines(3n, 4n));

    beforeEach(async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
    });

    test('takes all lines, once', async () => {
      await api.commitReservation(request, testCall({ requestId: 'x' }));
      await api.commitReservation(request, testCall({ requestId: 'x' }));
      await api.commitReservation(request, testCall({ requestId: 'y' }));
      expect(await stock('A')).toEqual({ onHand: 7n, reserved: 0n, open: false });
      expect(await stock('B')).toEqual({ onHand: 6n, reserved: 0n, open: false });
    });

    test('a lost line ends the reservation: the pieces that this call took are put back, and stay there', async () => {
      now = new Date(start.getTime() + 60_000);
      const origin = testCall().origin;
      expect(await expireReservation({ aggregates })({ productId: 'B', reservationId: 'r1', origin })).toBeUndefined();
      for (const _ of [1, 2]) {
        expect(await refusalOf(api.commitReservation(request, testCall({ requestId: 'x' })))).toEqual({
          code: 'FAILED_PRECONDITION',
          reason: 'RESERVATION_LOST',
        });
        expect(await stock('A')).toEqual(untouched);
        expect(await stock('B')).toEqual(untouched);
      }
    });

    test.each(['before', 'after'] as const)(
      'a line that fails %s it has landed: UNAVAILABLE, and the repeat finishes',
      async (how) => {
        failing.set('B', how);
        expect((await refusalOf(api.commitReservation(request, testCall({ requestId: 'x' })))).code).toBe(
          'UNAVAILABLE',
        );
        failing.clear();
        ({ api, aggregates } = restart(log));
        await api.commitReservation(request, testCall({ requestId: 'x' }));
        expect(await stock('A')).toEqual({ onHand: 7n, reserved: 0n, open: false });
        expect(await stock('B')).toEqual({ onHand: 6n, reserved: 0n, open: false });
      },
    );

    test('a line that fails and expires before the repeat: all is put back', async () => {
      failing.set('B', 'before');
      await refusalOf(api.commitReservation(request, testCall({ requestId: 'x' })));
      failing.clear();
      ({ api, aggregates } = restart(log));
      now = new Date(start.getTime() + 60_000);
      await expireReservation({ aggregates })({ productId: 'B', reservationId: 'r1', origin: testCall().origin });
      expect((await refusalOf(api.commitReservation(request, testCall({ requestId: 'x' })))).reason).toBe(
        'RESERVATION_LOST',
      );
      expect(await stock('A')).toEqual(untouched);
      expect(await stock('B')).toEqual(untouched);
    });

    test('of an unknown reservation, or with other quantities, takes nothing', async () => {
      expect((await refusalOf(api.commitReservation(about('r9', lines(1n, 1n)), testCall()))).reason).toBe(
        'RESERVATION_LOST',
      );
      expect(await stock('A')).toMatchObject({ onHand: 10n, reserved: 3n });
      expect((await refusalOf(api.commitReservation(about('r1', lines(2n, 5n)), testCall()))).reason).toBe(
        'RESERVATION_MISMATCH',
      );
      const unknown = about('r1', [...lines(3n, 4n), { productId: 'X', quantity: 1n }]);
      expect((await refusalOf(api.commitReservation(unknown, testCall()))).reason).toBe('STOCK_NOT_FOUND');
      // It is still there.
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
      await api.commitReservation(request, testCall());
      expect(await stock('A')).toEqual({ onHand: 7n, reserved: 0n, open: false });
      expect(await stock('B')).toEqual({ onHand: 6n, reserved: 0n, open: false });
    });

    test('repeated late, after some of its pieces came back, puts nothing back', async () => {
      await api.commitReservation(request, testCall());
      await api.returnStock(about('r1', lines(3n, 4n).slice(0, 1)), testCall());
      for (const requestId of ['x', 'x', 'y']) {
        const late = await refusalOf(api.commitReservation(request, testCall({ requestId })));
        expect(late.reason).toBe('RESERVATION_LOST');
        expect(await stock('A')).toEqual(untouched);
        expect(await stock('B')).toEqual({ onHand: 6n, reserved: 0n, open: false });
      }
    });

    test('finishes what a call has left that broke off after a line, also if the other line is lost', async () => {
      // As a process of version 0.2 leaves it.
      const former = inventoryService({ aggregates, clock: () => now, linesAUnit: 1 });
      const formerly = former.handlers as unknown as Handlers<InventoryServiceService>;
      await formerly.commitReservation(about('r1', lines(3n, 4n).slice(0, 1)), testCall());
      expect(await stock('A')).toEqual({ onHand: 7n, reserved: 0n, open: false });
      now = new Date(start.getTime() + 60_000);
      await expireReservation({ aggregates })({ productId: 'B', reservationId: 'r1', origin: testCall().origin });
      for (const requestId of ['x', 'x', 'y']) {
        const repeat = await refusalOf(api.commitReservation(request, testCall({ requestId })));
        expect(repeat.reason).toBe('RESERVATION_LOST');
        expect(await stock('A')).toEqual(untouched);
        expect(await stock('B')).toEqual(untouched);
      }
    });

    test('against a release at the same time: all lines are taken or all are back, and after a second release all are back', async () => {
      const commit = api
        .commitReservation(request, testCall({ requestId: 'x' }))
        .catch((error: CaudalError) => error.reason);
      await api.releaseReservation(releasing('r1', lines(3n, 4n)), testCall());
      await commit;
      expect(await stock('A')).toEqual(untouched);
      expect(await stock('B')).toEqual(untouched);
      expect((await refusalOf(api.commitReservation(request, testCall({ requestId: 'y' })))).reason).toBe(
        'RESERVATION_LOST',
      );
      expect(await stock('A')).toEqual(untouched);
    });
  });
});
