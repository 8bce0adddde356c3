/** Reservations of orders and of shops under one name: neither touches the other's. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openReservation, stockDecider } from '../domain/stock.ts';
import { about, lines, releasing, reserving } from '../testing/reservation-requests.ts';
import { nameByHand } from './by-hand.ts';
import { expireReservation } from './expire-reservation.ts';
import { inventoryService } from './inventory-service.ts';

const start = new Date('2026-01-01T00:00:00Z');
let now: Date;
let log: MemoryLog;
let { api, aggregates } = {} as ReturnType<typeof restart>;

function restart(linesAUnit = 100) {
  const aggregates = openAggregates({ log, clock: () => now, ids: newId });
  const { handlers } = inventoryService({ aggregates, clock: () => now, linesAUnit });
  return { aggregates, api: handlers as unknown as Handlers<InventoryServiceService> };
}

beforeEach(async () => {
  now = start;
  log = memoryLog({ domain: 'inventory', clock: () => now });
  ({ api, aggregates } = restart());
  for (const productId of ['A', 'B'])
    await api.createStockItem({ requestId: '', productId, kind: '', policy: {}, quantity: 10n }, testCall());
});

const order = (requestId?: string) => testCall({ subject: 'service:orders', requestId });
const shop = (requestId?: string) => testCall({ subject: 'shop', requestId });
const three = lines(3n, 3n);

async function stock() {
  const { state } = await aggregates.load(stockDecider, 'A');
  const open = ['X.1', 'X.1~'].filter((name) => openReservation(state, name) !== undefined);
  return { onHand: state.onHand, reserved: state.reserved, open };
}

describe.each([
  { way: 'in one append', most: 100 },
  { way: 'in an append a line', most: 1 },
])('lines $way', ({ most }) => {
  beforeEach(() => {
    ({ api, aggregates } = restart(most));
  });

  test.each(['shop first', 'order first'])(
    'a shop and an order reserve under one name, %s: both hold their own',
    async (who) => {
      const both = [shop, order];
      for (const call of who === 'shop first' ? both : both.toReversed())
        expect((await api.reserveStock(reserving('X.1', three), call())).reservationId).toBe('X.1');
      expect(await stock()).toEqual({ onHand: 10n, reserved: 6n, open: ['X.1', 'X.1~'] });
      await api.commitReservation(about('X.1', three), order());
      expect(await stock()).toEqual({ onHand: 7n, reserved: 3n, open: ['X.1~'] });
      expect(await api.commitReservation(about('X.1', three), shop())).toMatchObject({ reservationId: 'X.1' });
      expect(await stock()).toEqual({ onHand: 4n, reserved: 0n, open: [] });
      // Its own, although the order's is out, too.
      await api.returnStock(about('X.1', lines(1n, 1n)), shop('return'));
      await api.releaseReservation({ ...releasing('X.1', three), committed: true }, order());
      expect(await stock()).toMatchObject({ onHand: 8n });
      await api.releaseReservation(releasing('X.1', three), shop());
      expect(await stock()).toMatchObject({ onHand: 10n, reserved: 0n });
    },
  );

  test('a repeat by hand is the same reservation, and each call answers with the name as given', async () => {
    for (const requestId of ['a', 'a', 'b'])
      expect(await api.reserveStock(reserving('X.1', three), shop(requestId))).toMatchObject({ reservationId: 'X.1' });
    expect(await stock()).toEqual({ onHand: 10n, reserved: 3n, open: ['X.1~'] });
    for (const requestId of ['c', 'c', 'd']) await api.releaseReservation(releasing('X.1', three), shop(requestId));
    expect(await stock()).toEqual({ onHand: 10n, reserved: 0n, open: [] });
    const error = (await api.reserveStock(reserving('X.1', three), shop()).catch((e) => e)) as CaudalError;
    expect(error.reason).toBe('RESERVATION_ENDED');
    expect(JSON.stringify([error.message, error.violations])).toContain('\\"X.1\\"');
    expect(JSON.stringify([error.message, error.violations])).not.toContain('~');
  });

  test('a release or a commit of an unknown name by hand bars no order', async () => {
    await api.releaseReservation(releasing('X.1', three), shop());
    expect((await refusalOf(api.commitReservation(about('X.2', three), shop()))).reason).toBe('RESERVATION_LOST');
    for (const name of ['X.1', 'X.2']) await api.reserveStock(reserving(name, three), order());
    expect(await stock()).toMatchObject({ reserved: 6n });
    for (const name of ['X.1', 'X.2'])
      expect((await refusalOf(api.reserveStock(reserving(name, lines(1n, 1n)), shop()))).reason).toBe(
        'RESERVATION_BARRED',
      );
  });

  test("a return by hand reaches an order's pieces, a release or a commit does not", async () => {
    await api.reserveStock(reserving('X.1', three), order());
    expect((await refusalOf(api.commitReservation(about('X.1', three), shop()))).reason).toBe('RESERVATION_LOST');
    expect(await stock()).toEqual({ onHand: 10n, reserved: 3n, open: ['X.1'] });
    await api.commitReservation(about('X.1', three), order());
    // As a shop does whose own reserve was refused, or whose answer was lost.
    const all = lines(10n, 10n);
    expect((await refusalOf(api.reserveStock(reserving('X.1', all), shop()))).reason).toMatch(/BARRED|INSUFFICIENT/);
    await api.releaseReservation(releasing('X.1', all), shop());
    expect(await stock()).toMatchObject({ onHand: 7n });
    await api.reserveStock(reserving('Y.1', lines(1n, 1n)), order());
    await api.commitReservation(about('Y.1', lines(1n, 1n)), order());
    for (const requestId of ['x', 'x']) await api.returnStock(about('Y.1', lines(1n, 1n)), shop(requestId));
    expect(await stock()).toMatchObject({ onHand: 7n });
  });

  test("what a shop did is forgotten one day: its late release or commit does not touch an order's", async () => {
    await api.reserveStock(reserving('X.1', three), shop());
    await api.commitReservation(about('X.1', three), shop());
    now = new Date(start.getTime() + 9 * 86_400_000);
    ({ api, aggregates } = restart(most));
    await api.reserveStock(reserving('X.1', three), order());
    await api.commitReservation(about('X.1', three), order());
    await api.releaseReservation(releasing('X.1', three), shop());
    expect((await refusalOf(api.commitReservation(about('X.1', three), shop()))).reason).toBe('RESERVATION_LOST');
    expect(await stock()).toMatchObject({ onHand: 4n, reserved: 0n });
  });

  test('without authentication all names are kept as given, however the saga is wired', async () => {
    const developer = { ...testCall(), caller: { subject: 'dev', permissions: new Set(['*']) } };
    await api.reserveStock(reserving('X.1', three), developer);
    await api.commitReservation(about('X.1', three), order());
    await api.putBack({ ...about('X.1', lines(1n, 1n)), out: three }, testCall({ requestId: 'back' }));
    await api.releaseReservation({ ...releasing('X.1', three), committed: true }, developer);
    expect(await stock()).toEqual({ onHand: 10n, reserved: 0n, open: [] });
  });

  test('names that no order has are kept as they are, also by 0.2', async () => {
    for (const name of ['X', 'X.0', 'X.10', 'X.1.a', 'cart-1', 'X.'])
      expect((await api.reserveStock(reserving(name, lines(1n, 1n)), shop())).reservationId).toBe(name);
    const { state } = await aggregates.load(stockDecider, 'A');
    for (const name of ['X', 'X.0', 'X.10', 'X.1.a', 'cart-1', 'X.'])
      expect(openReservation(state, name)).toBeDefined();
  });

  test('it expires like any other', async () => {
    await api.reserveStock(reserving('X.1', three), shop());
    now = new Date(start.getTime() + 60_000);
    const { origin } = shop();
    expect(await expireReservation({ aggregates })({ productId: 'A', reservationId: 'X.1~', origin })).toBeUndefined();
    expect(await stock()).toMatchObject({ reserved: 0n, open: [] });
  });

  test('a request that is invalid is refused as such', async () => {
    const twice = {
      ...about('X.1', [
        { productId: 'A', quantity: 1n },
        { productId: 'A', quantity: 1n },
      ]),
    };
    expect((await refusalOf(api.commitReservation(twice, shop()))).reason).toBe('PRODUCT_TWICE');
  });
});

test('no name by hand is one of an order, of any id and number; different names stay different', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$/);
  const orders = fc.tuple(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/), fc.integer({ min: 1, max: 3 }));
  fc.assert(
    fc.property(orders, name, name, ([id, number], one, other) => {
      const ofOrder = `${id}.${number}`;
      expect(nameByHand(ofOrder)).not.toBe(ofOrder);
      expect(nameByHand(one)).not.toBe(ofOrder);
      expect(nameByHand(one) === nameByHand(other)).toBe(one === other);
    }),
  );
});
