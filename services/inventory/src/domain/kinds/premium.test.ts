import { given } from '@caudal/testing/given.ts';
import { describe, test } from '@jest/globals';
import type { StockContext } from '../claims.ts';
import { reserve } from '../reservations.ts';
import { type StockEvent, type StockState, stockDecider } from '../stock.ts';
import { createStockItem } from '../stock-item.ts';

const now = new Date('2026-01-01T00:00:00Z');
const expireAt = new Date('2026-01-01T00:15:00Z');
const created = (quantity: bigint, kind: string, policy: Record<string, string>, available: bigint): StockEvent => ({
  $case: 'created',
  value: { productId: 'P1', kind, policy, quantity, available },
});
const reserved = (reservationId: string, quantity: bigint, available: bigint): StockEvent => ({
  $case: 'reserved',
  value: { reservationId, quantity, expireTime: expireAt, available },
});
const reserving =
  (reservationId: string, quantity: bigint, attributes = {}) =>
  (state: StockState, context: StockContext) =>
    reserve(state, context, { productId: 'P1', reservationId, quantity, expireAt, attributes });
const after = (...events: StockEvent[]) => given(stockDecider, events, now);

describe('premium stock', () => {
  const policy = { safety_stock: '3', max_per_order: '5', tiers: 'gold, platinum' };
  const stock = after(created(10n, 'premium', policy, 7n));

  test('keeps its safety stock', () => {
    after()
      .when((state) => createStockItem(state, { productId: 'P1', kind: 'premium', policy, quantity: 10n }))
      .gives([created(10n, 'premium', policy, 7n)]);
    after(created(10n, 'premium', { safety_stock: '3' }, 7n))
      .when(reserving('r1', 7n))
      .gives([reserved('r1', 7n, 0n)]);
    after(created(10n, 'premium', { safety_stock: '3' }, 7n))
      .when(reserving('r1', 8n))
      .refuses('FAILED_PRECONDITION', 'INSUFFICIENT_STOCK');
  });

  test('promises nothing while the safety stock is not complete', () => {
    after(created(2n, 'premium', { safety_stock: '3' }, 0n))
      .when(reserving('r1', 1n))
      .refuses('FAILED_PRECONDITION', 'INSUFFICIENT_STOCK');
  });

  test('serves only its tiers, and at most max_per_order pieces', () => {
    stock.when(reserving('r1', 5n, { tier: 'gold' })).gives([reserved('r1', 5n, 2n)]);
    stock.when(reserving('r1', 5n, { tier: 'platinum' })).gives([reserved('r1', 5n, 2n)]);
    stock.when(reserving('r1', 5n, { tier: 'silver' })).refuses('FAILED_PRECONDITION', 'TIER_NOT_ALLOWED');
    stock.when(reserving('r1', 5n)).refuses('FAILED_PRECONDITION', 'TIER_NOT_ALLOWED');
    stock.when(reserving('r1', 6n, { tier: 'gold' })).refuses('FAILED_PRECONDITION', 'TOO_MANY_PER_ORDER');
  });

  test.each([
    ['safety_stock', '-1'],
    ['safety_stock', 'many'],
    ['max_per_order', '0'],
    ['tiers', 'gold,,silver'],
    ['colour', 'red'],
  ])('refuses the setting %s = %s', (setting, value) => {
    after()
      .when((state) =>
        createStockItem(state, {
          productId: 'P1',
          kind: 'premium',
          policy: { [setting]: value },
          quantity: 1n,
        }),
      )
      .refuses('INVALID_ARGUMENT', 'INVALID_POLICY');
  });
});
