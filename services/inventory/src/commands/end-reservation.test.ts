import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openReservation, stockDecider } from '../domain/stock.ts';
import { about, lines, releasing, reserving, untouched } from '../testing/reservation-requests.ts';
import { expireReservation } from './expire-reservation.ts';
import { inventoryService } from './inventory-service.ts';

const start = new Date('2026-01-01T00:00:00Z');
let now: Date;

describe.each([
  { way: 'in one append', most: 100 },
  { way: 'in an append a line', most: 1 },
])('lines $way', ({ most }) => {
  let log: MemoryLog;
  let { api, aggregates } = {} as ReturnType<typeof restart>;

  /** A restart: the same log, nothing in memory. */
  function restart() {
    const aggregates = openAggregates({ log, clock: () => now, ids: newId });
    const { handlers } = inventoryService({ aggregates, clock: () => now, linesAUnit: most });
    return { aggregates, api: handlers as unknown as Handlers<InventoryServiceService> };
  }

  beforeEach(async () => {
    now = start;
    log = memoryLog({ domain: 'inventory', clock: () => now });
    ({ api, aggregates } = restart());
    for (const productId of ['A', 'B'])
      await api.createStockItem({ requestId: '', productId, kind: '', policy: {}, quantity: 10n }, testCall());
  });

  /** On hand and reserved of a product, and whether the reservation holds pieces of it. */
  async function stock(productId: string, reservationId = 'r1') {
    const { state } = await aggregates.load(stockDecider, productId);
    return {
      onHand: state.onHand,
      reserved: state.reserved,
      open: openReservation(state, reservationId) !== undefined,
    };
  }

  describe('ReleaseReservation, ReturnStock and expiry', () => {
    test('a release before the reserve wins, also for products without stock', async () => {
      const all = [...lines(3n, 4n), { productId: 'X', quantity: 1n }];
      await api.releaseReservation(releasing('r1', all), testCall());
      expect((await refusalOf(api.reserveStock(reserving('r1', lines(3n, 4n)), testCall()))).reason).toBe(
        'RESERVATION_BARRED',
      );
      expect(await stock('A')).toEqual(untouched);
    });

    test('committed pieces come back by a release or a return, once', async () => {
      for (const id of ['r1', 'r2']) {
        await api.reserveStock(reserving(id, lines(3n, 4n)), testCall());
        await api.commitReservation(about(id, lines(3n, 4n)), testCall());
      }
      for (const requestId of ['x', 'x', 'y'])
        await api.releaseReservation(releasing('r1', lines(3n, 4n)), testCall({ requestId }));
      for (const requestId of ['x', 'x'])
        await api.returnStock(about('r2', lines(3n, 4n)), testCall({ requestId: `return ${requestId}` }));
      expect((await refusalOf(api.returnStock(about('r2', lines(1n, 1n)), testCall()))).reason).toBe(
        'RETURN_TOO_LARGE',
      );
      expect(await stock('A')).toEqual(untouched);
      expect(await stock('B')).toEqual(untouched);
    });

    test('a cancellation after returns puts back what is still out', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      await api.returnStock(about('r1', lines(1n, 1n)), testCall({ requestId: 'a' }));
      await api.returnStock(about('r1', lines(1n, 2n)), testCall({ requestId: 'b' }));
      expect(await stock('A')).toMatchObject({ onHand: 9n });
      expect(await stock('B')).toMatchObject({ onHand: 9n });
      for (const _ of [1, 2])
        await api.releaseReservation({ ...releasing('r1', lines(3n, 4n)), committed: true }, testCall());
      expect(await stock('A')).toEqual(untouched);
      expect(await stock('B')).toEqual(untouched);
    });

    test('returns at the same time put back what is out, and no more', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      const ones = lines(1n, 1n).slice(0, 1);
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, n) => api.returnStock(about('r1', ones), testCall({ requestId: `${n}` }))),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
      expect(await stock('A')).toEqual(untouched);
      expect(await stock('B')).toMatchObject({ onHand: 6n });
    });

    test('pieces that were committed long ago come back if the request says that they were, once', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      now = new Date(start.getTime() + 40 * 86_400_000);
      ({ api, aggregates } = restart());
      for (const _ of [1, 2, 3]) {
        await api.releaseReservation({ ...releasing('r1', lines(3n, 4n)), committed: true }, testCall());
        expect(await stock('A')).toEqual(untouched);
        expect(await stock('B')).toEqual(untouched);
      }
    });

    test('a release under a known request id gets the stored answer; with other content it is refused', async () => {
      await api.releaseReservation(releasing('r1', lines(3n, 4n)), testCall({ requestId: 'x' }));
      await api.releaseReservation(releasing('r1', lines(3n, 4n)), testCall({ requestId: 'x' }));
      const other = api.releaseReservation(
        releasing('r2', lines(3n, 4n)),
        testCall({ requestId: 'x', content: 'other' }),
      );
      expect((await refusalOf(other)).reason).toBe('REQUEST_ID_REUSED');
    });

    test('only services say that pieces were committed, and not more than a product may have', async () => {
      const request = { ...releasing('x1', lines(3n, 4n)), committed: true };
      const error = (await api
        .releaseReservation(request, testCall({ subject: 'shop' }))
        .catch((e) => e)) as CaudalError;
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: 'committed' }] });
      const many = { ...releasing('x2', lines(1_000_000_000_000n, 1n)), committed: true };
      expect((await refusalOf(api.releaseReservation(many, testCall()))).reason).toBe('TOO_MANY_PIECES');
      expect(await stock('A')).toEqual(untouched);
      await api.releaseReservation({ ...request, committed: false }, testCall({ subject: 'shop' }));
      expect(await stock('A')).toEqual(untouched);
    });

    test('a return of more than a product may have is refused', async () => {
      const out = lines(1_000_000_000_000n, 1n);
      const request = { requestId: newId(), reservationId: 'x3', lines: out, out };
      expect((await refusalOf(api.putBack(request, testCall()))).reason).toBe('TOO_MANY_PIECES');
      expect(await stock('A')).toEqual(untouched);
    });

    test('pieces that were not committed cannot be returned', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      expect(await refusalOf(api.returnStock(about('r1', lines(3n, 4n)), testCall()))).toEqual({
        code: 'FAILED_PRECONDITION',
        reason: 'RESERVATION_NOT_COMMITTED',
      });
      expect(await stock('A')).toEqual({ onHand: 10n, reserved: 3n, open: true });
    });

    test('a return of more than is out names what is left; of the lines of an append none is returned', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      for (const requestId of ['x', 'x', 'y']) {
        const call = testCall({ requestId });
        const error = (await api.returnStock(about('r1', lines(3n, 5n)), call).catch((e) => e)) as CaudalError;
        // In an append a line, the first request has returned the other line.
        const isLeft = most > 1 || requestId === 'x';
        expect(error).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'RETURN_TOO_LARGE' });
        expect(error.violations).toHaveLength(isLeft ? 1 : 2);
        expect(error.violations.at(-1)).toMatchObject({
          field: 'lines[1].quantity',
          description: expect.stringContaining('4 of "B" are out'),
        });
        expect(await stock('A')).toMatchObject({ onHand: most > 1 ? 7n : 10n });
        expect(await stock('B')).toEqual({ onHand: 6n, reserved: 0n, open: false });
      }
    });

    test('pieces that the stock has forgotten are returned by a caller who knows what is out', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      await api.commitReservation(about('r1', lines(3n, 4n)), testCall());
      now = new Date(start.getTime() + 90 * 86_400_000);
      ({ api, aggregates } = restart());
      const late = about('r1', lines(1n, 1n));
      expect((await refusalOf(api.returnStock(late, testCall()))).reason).toBe('RESERVATION_NOT_COMMITTED');
      for (const requestId of ['x', 'x', 'y', 'y'])
        await api.putBack({ ...late, out: lines(3n, 4n) }, testCall({ requestId }));
      expect(await stock('A')).toMatchObject({ onHand: 9n });
      const twice = { ...late, out: [...lines(3n, 4n), { productId: 'A', quantity: 1n }] };
      expect((await refusalOf(api.putBack(twice, testCall()))).reason).toBe('PRODUCT_TWICE');
      // The stock knows again what is out.
      const more = { ...about('r1', lines(2n, 2n)), out: lines(3n, 4n) };
      expect((await refusalOf(api.putBack(more, testCall()))).reason).toBe('RETURN_TOO_LARGE');
    });

    test('nothing is returned to a product without stock', async () => {
      const unknown = about('r1', [{ productId: 'X', quantity: 1n }]);
      expect(await refusalOf(api.returnStock(unknown, testCall()))).toEqual({
        code: 'NOT_FOUND',
        reason: 'STOCK_NOT_FOUND',
      });
    });

    test('a timer that fires early gets the time of its next try', async () => {
      await api.reserveStock(reserving('r1', lines(3n, 4n)), testCall());
      const expire = () =>
        expireReservation({ aggregates })({ productId: 'A', reservationId: 'r1', origin: testCall().origin });
      expect(await expire()).toEqual(new Date(start.getTime() + 60_000));
      now = new Date(start.getTime() + 60_000);
      expect(await expire()).toBeUndefined();
      expect(await expire()).toBeUndefined();
      expect(await stock('A')).toEqual(untouched);
    });
  });
});
