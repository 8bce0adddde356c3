/** Calls of more lines than a unit has: several units, of which a crash or another call may come between two. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openReservation, stockDecider } from '../domain/stock.ts';
import { about, releasing, reserving } from '../testing/reservation-requests.ts';
import { expireReservation } from './expire-reservation.ts';
import { inventoryService } from './inventory-service.ts';

const start = new Date('2026-01-01T00:00:00Z');
const names = Array.from({ length: 250 }, (_, n) => `P${n}`);
let now: Date;
let log: MemoryLog;
let isAway: boolean;
let { api, aggregates } = {} as ReturnType<typeof connect>;

function connect() {
  const aggregates = openAggregates({ log, clock: () => now, ids: newId });
  const { handlers } = inventoryService({ aggregates, clock: () => now });
  return { aggregates, api: handlers as unknown as Handlers<InventoryServiceService> };
}

beforeEach(async () => {
  now = start;
  isAway = false;
  log = memoryLog({
    domain: 'inventory',
    clock: () => now,
    async call(judge) {
      await new Promise(setImmediate);
      if (isAway) throw unavailable('PostgreSQL');
      judge();
    },
  });
  ({ api, aggregates } = connect());
  await Promise.all(
    names.map((productId) =>
      api.createStockItem({ requestId: '', productId, kind: '', policy: {}, quantity: 10n }, testCall()),
    ),
  );
});

/** A piece of each product; of some another quantity. */
const wanted = (others: Record<string, bigint> = {}) =>
  names.map((productId) => ({ productId, quantity: others[productId] ?? 1n }));

/** Pieces on hand and reserved of all products together, and how many lines hold pieces. */
async function stock(reservationId = 'r1') {
  const loaded = await Promise.all(names.map((name) => aggregates.load(stockDecider, name)));
  return {
    onHand: loaded.reduce((sum, { state }) => sum + state.onHand, 0n),
    reserved: loaded.reduce((sum, { state }) => sum + state.reserved, 0n),
    open: loaded.filter(({ state }) => openReservation(state, reservationId) !== undefined).length,
  };
}
const untouched = { onHand: 2_500n, reserved: 0n, open: 0 };
const reserved = { onHand: 2_500n, reserved: 250n, open: 250 };
const committed = { onHand: 2_250n, reserved: 0n, open: 0 };

describe('250 lines', () => {
  test('are reserved, committed and released, and each call may be repeated', async () => {
    for (const requestId of ['x', 'x', 'y'])
      await api.reserveStock(reserving('r1', wanted()), testCall({ requestId: `reserve ${requestId}` }));
    expect(await stock()).toEqual(reserved);
    for (const requestId of ['x', 'x', 'y'])
      await api.commitReservation(about('r1', wanted()), testCall({ requestId: `commit ${requestId}` }));
    expect(await stock()).toEqual(committed);
    await api.returnStock(about('r1', wanted()), testCall());
    // The first answer, whatever has become of the pieces.
    await api.commitReservation(about('r1', wanted()), testCall({ requestId: 'commit x' }));
    await api.releaseReservation(releasing('r1', wanted()), testCall());
    expect(await stock()).toEqual(untouched);
  });

  test('of which one is about something else: nothing is committed, and the reservation can still be', async () => {
    await api.reserveStock(reserving('r1', wanted()), testCall());
    for (const other of [wanted({ P120: 2n }), [...wanted(), { productId: 'none', quantity: 1n }]]) {
      const { reason } = await refusalOf(api.commitReservation(about('r1', other), testCall({ requestId: newId() })));
      expect(['RESERVATION_MISMATCH', 'STOCK_NOT_FOUND']).toContain(reason);
      expect(await stock()).toEqual(reserved);
    }
    await api.commitReservation(about('r1', wanted()), testCall());
    expect(await stock()).toEqual(committed);
  });

  test('of which one is lost: all are put back', async () => {
    await api.reserveStock(reserving('r1', wanted()), testCall());
    now = new Date(start.getTime() + 60_000);
    const origin = testCall().origin;
    await expireReservation({ aggregates })({ productId: 'P120', reservationId: 'r1', origin });
    for (const requestId of ['x', 'x', 'y']) {
      const { reason } = await refusalOf(api.commitReservation(about('r1', wanted()), testCall({ requestId })));
      expect(reason).toBe('RESERVATION_LOST');
      expect(await stock()).toEqual(untouched);
    }
  });

  test('of which one was returned: a late commit, first sent now, takes no other', async () => {
    await api.reserveStock(reserving('r1', wanted()), testCall());
    await api.commitReservation(about('r1', wanted()), testCall());
    await api.returnStock(about('r1', wanted().slice(120, 121)), testCall());
    const late = await refusalOf(api.commitReservation(about('r1', wanted()), testCall({ requestId: 'x' })));
    expect(late.reason).toBe('RESERVATION_LOST');
    expect(await stock()).toEqual({ ...committed, onHand: 2_251n });
  });

  test('of which one is reserved with another quantity: the reservation stays', async () => {
    await api.reserveStock(reserving('r1', wanted()), testCall());
    const { reason } = await refusalOf(api.reserveStock(reserving('r1', wanted({ P120: 2n })), testCall()));
    expect(reason).toBe('RESERVATION_MISMATCH');
    expect(await stock()).toEqual(reserved);
  });

  test('of which one is out of stock: nothing is held, and what an earlier call holds is released', async () => {
    const short = reserving('r1', wanted({ P120: 11n }));
    expect((await refusalOf(api.reserveStock(short, testCall()))).reason).toBe('INSUFFICIENT_STOCK');
    expect(log.events).toHaveLength(250);
    // By a call that broke off.
    await api.reserveStock(reserving('r1', wanted().slice(0, 100)), testCall());
    expect((await refusalOf(api.reserveStock(short, testCall()))).reason).toBe('INSUFFICIENT_STOCK');
    expect(await stock()).toEqual(untouched);
  });

  test('a commit that broke off after some is finished by its repeat, or put back if a line is lost by then', async () => {
    const commit = (reservationId: string, requestId: string, lines = wanted()) =>
      api.commitReservation(about(reservationId, lines), testCall({ requestId }));
    await api.reserveStock(reserving('r1', wanted()), testCall());
    // What the first unit of the call leaves.
    await commit('r1', 'x', wanted().slice(0, 100));
    ({ api, aggregates } = connect());
    now = new Date(start.getTime() + 60_000);
    const origin = testCall().origin;
    await expireReservation({ aggregates })({ productId: 'P120', reservationId: 'r1', origin });
    expect((await refusalOf(commit('r1', 'x'))).reason).toBe('RESERVATION_LOST');
    expect(await stock()).toEqual(untouched);
    await api.reserveStock(reserving('r2', wanted()), testCall());
    await commit('r2', 'y', wanted().slice(0, 100));
    await commit('r2', 'y');
    expect(await stock('r2')).toEqual(committed);
  });

  test('while the log is away nothing is done, and the repeat does it', async () => {
    isAway = true;
    const reserve = () => api.reserveStock(reserving('r1', wanted()), testCall({ requestId: 'x' }));
    expect((await refusalOf(reserve())).code).toBe('UNAVAILABLE');
    isAway = false;
    expect(await stock()).toEqual(untouched);
    await reserve();
    expect(await stock()).toEqual(reserved);
  });

  test('two calls of one id and different quantities at the same time: neither releases what the other holds', async () => {
    const results = await Promise.allSettled([
      api.reserveStock(reserving('r1', wanted()), testCall()),
      api.reserveStock(reserving('r1', wanted({ P120: 2n })), testCall()),
    ]);
    const done = results.filter(({ status }) => status === 'fulfilled');
    expect(done).toHaveLength(1);
    expect(await stock()).toMatchObject({ open: 250 });
  });
});
