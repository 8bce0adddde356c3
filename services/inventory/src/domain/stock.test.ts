import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { barredUntil, type StockContext } from './claims.ts';
import { commit, expire, release, reserve, returnPieces, withdraw } from './reservations.ts';
import { type StockEvent, type StockState, stockDecider } from './stock.ts';
import { adjust, createStockItem, restock } from './stock-item.ts';

const now = new Date('2026-01-01T00:00:00Z');
const expireAt = new Date('2026-01-01T00:15:00Z');
const later = (days: number) => new Date(now.getTime() + days * 86_400_000);

const created = (quantity: bigint, kind = 'standard', policy = {}, available = quantity): StockEvent => ({
  $case: 'created',
  value: { productId: 'P1', kind, policy, quantity, available },
});
const reserved = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'reserved',
  value: { reservationId, quantity, expireTime: expireAt, available },
});
const committed = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'committed',
  value: { reservationId, quantity, available },
});
const released = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'released',
  value: { reservationId, quantity, available, reason: 'cancelled' },
});
const expired = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'expired',
  value: { reservationId, quantity, available },
});
const returned = (
  reservationId: string,
  quantity: bigint,
  available: bigint,
  { committed = quantity, out = 0n } = {},
): StockEvent => ({
  $case: 'returned',
  value: { reservationId, quantity, available, committed, out },
});
/** As version 0.2 wrote it, whether there were more pieces or not. */
const formerlyReturned = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'returned',
  value: { reservationId, quantity, available },
});
const barred = (reservationId: string): StockEvent => ({
  $case: 'barred',
  value: { reservationId, until: barredUntil(now) },
});

type Decide = (state: StockState, context: StockContext) => StockEvent[];
const reserving =
  (reservationId: string, quantity: bigint, attributes = {}): Decide =>
  (state, context) =>
    reserve(state, context, { productId: 'P1', reservationId, quantity, expireAt, attributes });
const committing =
  (reservationId: string, quantity: bigint): Decide =>
  (state, context) =>
    commit(state, context, { productId: 'P1', reservationId, quantity });
const releasing =
  (reservationId: string, known?: bigint): Decide =>
  (state, context) =>
    release(state, context, { reservationId, reason: 'cancelled', committed: known });
const expiring =
  (reservationId: string): Decide =>
  (state, context) =>
    expire(state, context, { reservationId });
const returning =
  (reservationId: string, quantity: bigint, out?: bigint): Decide =>
  (state, context) =>
    returnPieces(state, context, { productId: 'P1', reservationId, quantity, out });
const after = (...events: StockEvent[]) => given(stockDecider, events, now);

describe('pieces', () => {
  const creating =
    (kind: string, policy: Record<string, string> = {}): Decide =>
    (state) =>
      createStockItem(state, { productId: 'P1', kind, policy, quantity: 10n });

  test('stock is created once, standard if no kind is named', () => {
    after()
      .when(creating(''))
      .gives([created(10n)]);
    after(created(10n)).when(creating('')).refuses('ALREADY_EXISTS', 'STOCK_EXISTS');
  });

  test('an unknown kind or setting is refused', () => {
    after().when(creating('magic')).refuses('INVALID_ARGUMENT', 'UNKNOWN_KIND');
    after()
      .when(creating('standard', { colour: 'red' }))
      .refuses('INVALID_ARGUMENT', 'INVALID_POLICY');
  });

  test('restocking adds pieces, up to a limit', () => {
    const restocking =
      (quantity: bigint): Decide =>
      (state) =>
        restock(state, { productId: 'P1', quantity });
    after(created(10n))
      .when(restocking(5n))
      .gives([{ $case: 'restocked', value: { quantity: 5n, available: 15n } }]);
    after().when(restocking(5n)).refuses('NOT_FOUND', 'STOCK_NOT_FOUND');
    after(created(999_999_999_999n)).when(restocking(2n)).refuses('FAILED_PRECONDITION', 'TOO_MANY_PIECES');
  });

  test('an adjustment never takes away promised pieces', () => {
    const adjusting =
      (delta: bigint): Decide =>
      (state) =>
        adjust(state, { productId: 'P1', delta, reason: 'count' });
    const stock = after(created(10n), reserved('r1', 4n, 6n));
    stock.when(adjusting(-6n)).gives([{ $case: 'adjusted', value: { delta: -6n, reason: 'count', available: 0n } }]);
    stock.when(adjusting(-7n)).refuses('FAILED_PRECONDITION', 'BELOW_RESERVED');
    after(created(5n)).when(adjusting(-6n)).refuses('FAILED_PRECONDITION', 'BELOW_RESERVED');
    const said = (...events: StockEvent[]) => {
      const state = events.reduce((now, event) => stockDecider.evolve(now, event, new Date(0)), stockDecider.initial);
      return () => adjust(state, { productId: 'P1', delta: -7n, reason: 'count' });
    };
    expect(said(created(10n), reserved('r1', 4n, 6n))).toThrow('Of 10 pieces 3 would be left, and 4 are promised to');
    expect(said(created(5n))).toThrow(/^Of 5 pieces -2 would be left\.$/);
    after().when(adjusting(1n)).refuses('NOT_FOUND', 'STOCK_NOT_FOUND');
  });
});

describe('reserve', () => {
  test('promises what is available, and no more', () => {
    after(created(10n))
      .when(reserving('r1', 10n))
      .gives([reserved('r1', 10n, 0n)]);
    after(created(10n)).when(reserving('r1', 11n)).refuses('FAILED_PRECONDITION', 'INSUFFICIENT_STOCK');
    after(created(10n), reserved('r1', 8n, 2n))
      .when(reserving('r2', 3n))
      .refuses('FAILED_PRECONDITION', 'INSUFFICIENT_STOCK');
    after().when(reserving('r1', 1n)).refuses('NOT_FOUND', 'STOCK_NOT_FOUND');
  });

  test('a repeat changes nothing; with another quantity it is refused', () => {
    const open = after(created(10n), reserved('r1', 8n, 2n));
    open.when(reserving('r1', 8n)).gives([]);
    open.when(reserving('r1', 7n)).refuses('FAILED_PRECONDITION', 'RESERVATION_MISMATCH');
    const done = after(created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n));
    done.when(reserving('r1', 8n)).gives([]);
    done.when(reserving('r1', 7n)).refuses('FAILED_PRECONDITION', 'RESERVATION_MISMATCH');
  });

  test('an ended reservation is not opened again for 7 days', () => {
    const open = [created(10n), reserved('r1', 8n, 2n)];
    for (const end of [released('r1', 8n, 10n), expired('r1', 8n, 10n)]) {
      after(...open, end)
        .when(reserving('r1', 8n))
        .refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    }
    after(...open, committed('r1', 8n, 2n), returned('r1', 8n, 10n))
      .when(reserving('r1', 8n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    after(...open, released('r1', 8n, 10n))
      .when(reserving('r1', 8n), later(6))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    after(...open, released('r1', 8n, 10n))
      .when(reserving('r1', 8n), later(8))
      .gives([reserved('r1', 8n, 2n)]);
  });

  test('a reservation that was released before it was made is refused for 7 days', () => {
    const stock = after(created(10n), barred('r1'));
    stock.when(reserving('r1', 1n), later(6)).refuses('FAILED_PRECONDITION', 'RESERVATION_BARRED');
    stock.when(reserving('r1', 1n), later(7)).gives([reserved('r1', 1n, 9n)]);
  });
});

describe('commit', () => {
  test('takes promised pieces, once', () => {
    after(created(10n), reserved('r1', 8n, 2n))
      .when(committing('r1', 8n))
      .gives([committed('r1', 8n, 2n)]);
    after(created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n))
      .when(committing('r1', 8n))
      .gives([]);
  });

  test('works on an overdue reservation until its expiry is recorded', () => {
    after(created(10n), reserved('r1', 8n, 2n))
      .when(committing('r1', 8n), later(1))
      .gives([committed('r1', 8n, 2n)]);
  });

  test('is refused once the reservation has ended, for another quantity, and without a reservation', () => {
    const open = [created(10n), reserved('r1', 8n, 2n)];
    for (const end of [released('r1', 8n, 10n), expired('r1', 8n, 10n)]) {
      after(...open, end)
        .when(committing('r1', 8n))
        .refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    }
    after(...open, committed('r1', 8n, 2n), returned('r1', 8n, 10n))
      .when(committing('r1', 8n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    after(created(10n)).when(committing('r1', 8n)).refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    after(created(10n), barred('r1')).when(committing('r1', 8n)).refuses('FAILED_PRECONDITION', 'RESERVATION_ENDED');
    after(...open)
      .when(committing('r1', 7n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_MISMATCH');
    after(...open, committed('r1', 8n, 2n))
      .when(committing('r1', 7n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_MISMATCH');
    after().when(committing('r1', 8n)).refuses('NOT_FOUND', 'STOCK_NOT_FOUND');
  });
});

describe('release', () => {
  test('frees promised pieces, once', () => {
    after(created(10n), reserved('r1', 8n, 2n))
      .when(releasing('r1'))
      .gives([released('r1', 8n, 10n)]);
    after(created(10n), reserved('r1', 8n, 2n), released('r1', 8n, 10n))
      .when(releasing('r1'))
      .gives([]);
    after(created(10n), reserved('r1', 8n, 2n), expired('r1', 8n, 10n))
      .when(releasing('r1'))
      .gives([]);
  });

  test('bars an unknown reservation, so it wins even if it arrives first', () => {
    after(created(10n))
      .when(releasing('r1'))
      .gives([barred('r1')]);
    after(created(10n), barred('r1')).when(releasing('r1')).gives([]);
    after().when(releasing('r1')).gives([]);
  });

  test('puts committed pieces back, once', () => {
    const gone = [created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n)];
    after(...gone)
      .when(releasing('r1'))
      .gives([returned('r1', 8n, 10n)]);
    after(...gone, returned('r1', 8n, 10n))
      .when(releasing('r1'))
      .gives([]);
  });

  test('after returns puts back what is still out, whatever the caller knows', () => {
    const part = [created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n)];
    const once = [...part, returned('r1', 3n, 5n, { committed: 8n, out: 5n })];
    const twice = [...once, returned('r1', 4n, 9n, { committed: 8n, out: 1n })];
    for (const known of [undefined, 8n, 1n]) {
      after(...once)
        .when(releasing('r1', known), later(29))
        .gives([returned('r1', 5n, 10n)]);
      after(...twice)
        .when(releasing('r1', known))
        .gives([returned('r1', 1n, 10n)]);
    }
    // Of what 0.2 has returned it is not known whether it was a part.
    after(...part, formerlyReturned('r1', 3n, 5n))
      .when(releasing('r1', 8n))
      .gives([]);
  });

  test('puts back pieces of a forgotten commit, if the caller knows of it, once', () => {
    const gone = [created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n)];
    after(...gone)
      .when(releasing('r1', 8n), later(31))
      .gives([returned('r1', 8n, 10n)]);
    after(...gone)
      .when(releasing('r1'), later(31))
      .gives([{ $case: 'barred', value: { reservationId: 'r1', until: barredUntil(later(31)) } }]);
    for (const days of [0, 8, 29]) {
      after(...gone, returned('r1', 8n, 10n))
        .when(releasing('r1', 8n), later(days))
        .gives([]);
    }
  });

  test('trusts its own state more than the caller', () => {
    const open = [created(10n), reserved('r1', 8n, 2n)];
    after(...open)
      .when(releasing('r1', 5n))
      .gives([released('r1', 8n, 10n)]);
    after(...open, expired('r1', 8n, 10n))
      .when(releasing('r1', 8n))
      .gives([]);
    after(...open, committed('r1', 8n, 2n))
      .when(releasing('r1', 5n))
      .gives([returned('r1', 8n, 10n)]);
    after(created(10n), barred('r1')).when(releasing('r1', 8n)).gives([]);
    after().when(releasing('r1', 8n)).gives([]);
  });
});

describe('withdraw', () => {
  const withdrawing =
    (reservationId: string): Decide =>
    (state, context) =>
      withdraw(state, context, { reservationId, reason: 'cancelled' });

  test('takes back a reservation, even one that is not made yet, but not committed pieces', () => {
    after(created(10n), reserved('r1', 8n, 2n))
      .when(withdrawing('r1'))
      .gives([released('r1', 8n, 10n)]);
    after(created(10n))
      .when(withdrawing('r1'))
      .gives([barred('r1')]);
    after(created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n))
      .when(withdrawing('r1'))
      .gives([]);
  });
});

describe('expire', () => {
  test('ends an open reservation when it is overdue, never before', () => {
    const open = after(created(10n), reserved('r1', 8n, 2n));
    open.when(expiring('r1'), new Date(expireAt.getTime() - 1)).gives([]);
    open.when(expiring('r1'), expireAt).gives([expired('r1', 8n, 10n)]);
  });

  test('changes no ended or unknown reservation', () => {
    after(created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n))
      .when(expiring('r1'), later(1))
      .gives([]);
    after(created(10n)).when(expiring('r1'), later(1)).gives([]);
    after().when(expiring('r1'), later(1)).gives([]);
  });
});

describe('return', () => {
  const gone = [created(10n), reserved('r1', 8n, 2n), committed('r1', 8n, 2n)];

  const part = [...gone, returned('r1', 3n, 5n, { committed: 8n, out: 5n })];

  test('puts committed pieces back, as often as some are out', () => {
    after(...gone)
      .when(returning('r1', 8n))
      .gives([returned('r1', 8n, 10n)]);
    after(...gone)
      .when(returning('r1', 3n))
      .gives([returned('r1', 3n, 5n, { committed: 8n, out: 5n })]);
    after(...part)
      .when(returning('r1', 3n), later(29))
      .gives([returned('r1', 3n, 8n, { committed: 8n, out: 2n })]);
    after(...part)
      .when(returning('r1', 5n))
      .gives([returned('r1', 5n, 10n, { committed: 8n, out: 0n })]);
  });

  test('of more than is out is refused', () => {
    after(...gone)
      .when(returning('r1', 9n))
      .refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    after(...part)
      .when(returning('r1', 6n))
      .refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    for (const end of [returned('r1', 8n, 10n), formerlyReturned('r1', 3n, 5n)]) {
      after(...gone, end)
        .when(returning('r1', 1n))
        .refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    }
  });

  test('of a reservation that is forgotten needs a caller who knows what is out', () => {
    for (const [events, days] of [
      [gone, 8],
      [part, 31],
    ] as const) {
      const stock = after(...events);
      stock.when(returning('r1', 2n), later(days)).refuses('FAILED_PRECONDITION', 'RESERVATION_NOT_COMMITTED');
      const left = events === gone ? 2n : 5n;
      stock
        .when(returning('r1', 2n, 5n), later(days))
        .gives([returned('r1', 2n, left + 2n, { committed: 5n, out: 3n })]);
      stock.when(returning('r1', 6n, 5n), later(days)).refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    }
    // What the stock remembers counts more.
    after(...part)
      .when(returning('r1', 6n, 8n))
      .refuses('FAILED_PRECONDITION', 'RETURN_TOO_LARGE');
    after(created(10n), reserved('r1', 8n, 2n))
      .when(returning('r1', 8n, 8n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_NOT_COMMITTED');
  });

  test('a repeat of a reserve or commit changes nothing after pieces have come back, until all have', () => {
    for (const repeat of [reserving, committing]) {
      after(...part)
        .when(repeat('r1', 8n))
        .gives([]);
      after(...part)
        .when(repeat('r1', 5n))
        .refuses('FAILED_PRECONDITION', 'RESERVATION_MISMATCH');
    }
  });

  test('pieces that were not committed cannot be returned', () => {
    after(created(10n), reserved('r1', 8n, 2n))
      .when(returning('r1', 8n))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_NOT_COMMITTED');
    after(created(10n)).when(returning('r1', 8n)).refuses('FAILED_PRECONDITION', 'RESERVATION_NOT_COMMITTED');
    after(...gone)
      .when(returning('r1', 8n), later(31))
      .refuses('FAILED_PRECONDITION', 'RESERVATION_NOT_COMMITTED');
    after().when(returning('r1', 8n)).refuses('NOT_FOUND', 'STOCK_NOT_FOUND');
  });
});
