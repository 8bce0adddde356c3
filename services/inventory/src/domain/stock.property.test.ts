import type { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { entriesOf } from '@caudal/kernel/expiring-map.ts';
import { deleted, ignored } from '@caudal/projections/types.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stockDashboard } from '../projections/stock-dashboard.ts';
import { stockItemMessage } from '../stock-item-message.ts';
import { commit, expire, release, reserve, returnPieces } from './reservations.ts';
import { availableOf, type StockEvent, type StockState, stockDecider } from './stock.ts';
import { adjust, createStockItem, restock } from './stock-item.ts';

const id = fc.nat(6).map((n) => `r${n}`);
const quantity = fc.integer({ min: 1, max: 8 }).map(BigInt);
const command = fc.oneof(
  fc.record({ kind: fc.constant('restock' as const), quantity }),
  fc.record({ kind: fc.constant('adjust' as const), delta: fc.integer({ min: -8, max: 8 }).map(BigInt) }),
  fc.record({ kind: fc.constant('reserve' as const), id, quantity }),
  fc.record({ kind: fc.constant('commit' as const), id, quantity }),
  fc.record({ kind: fc.constant('release' as const), id }),
  fc.record({ kind: fc.constant('expire' as const), id }),
  fc.record({ kind: fc.constant('return' as const), id, quantity }),
);
type StockCommand = typeof command extends fc.Arbitrary<infer C> ? C : never;

function decide(state: StockState, now: Date, input: StockCommand): StockEvent[] {
  const context = { now, version: 1 };
  const reason = 'x';
  switch (input.kind) {
    case 'restock':
      return restock(state, { productId: 'P1', quantity: input.quantity });
    case 'adjust':
      return adjust(state, { productId: 'P1', delta: input.delta, reason });
    case 'reserve': {
      const expireAt = new Date(now.getTime() + 60_000);
      return reserve(state, context, {
        productId: 'P1',
        reservationId: input.id,
        quantity: input.quantity,
        expireAt,
        attributes: {},
      });
    }
    case 'commit':
      return commit(state, context, { productId: 'P1', reservationId: input.id, quantity: input.quantity });
    case 'release':
      return release(state, context, { reservationId: input.id, reason });
    case 'expire':
      return expire(state, context, { reservationId: input.id });
    case 'return':
      return returnPieces(state, context, { productId: 'P1', reservationId: input.id, quantity: input.quantity });
  }
}

/** Pieces that were added minus pieces that left, counted from the events alone. */
function balance(events: StockEvent[]): bigint {
  return events.reduce((sum, { $case, value }) => {
    if ($case === 'created' || $case === 'restocked' || $case === 'returned') return sum + value.quantity;
    if ($case === 'adjusted') return sum + value.delta;
    return $case === 'committed' ? sum - value.quantity : sum;
  }, 0n);
}

const start = Date.UTC(2026, 0, 1);
const steps = fc.array(fc.record({ command, seconds: fc.nat(50) }), { maxLength: 60, size: 'max' });
const items = fc.record({
  kind: fc.constantFrom('standard', 'premium'),
  safety: fc.nat(5),
  quantity: fc.nat(20).map(BigInt),
});

test('any commands in any order: never oversold, pieces are conserved, repeats change nothing', () => {
  fc.assert(
    fc.property(items, steps, (item, commands) => {
      const policy: Record<string, string> = item.kind === 'premium' ? { safety_stock: String(item.safety) } : {};
      let clock = start;
      const log: StockEvent[] = [];
      let state = stockDecider.initial;
      let view: StockItem | undefined;
      const apply = (events: StockEvent[]) => {
        for (const event of events) {
          log.push(event);
          const projected = {
            stream: 'inventory.stock/P1',
            id: 'P1',
            version: log.length,
            eventId: '',
            at: new Date(clock),
            event,
          };
          const after = stockDashboard.follows[0]!.evolve(view, projected);
          if (after === deleted || after === ignored) throw new Error(`the dashboard shows nothing of ${event.$case}`);
          view = after;
          state = stockDecider.evolve(state, event, new Date(clock));
          if ('available' in event.value) expect(event.value.available).toBe(availableOf(state));
        }
      };
      apply(createStockItem(state, { productId: 'P1', ...item, policy }));
      for (const { command: input, seconds } of commands) {
        clock += seconds * 1000;
        try {
          apply(decide(state, new Date(clock), input));
        } catch (error) {
          if (!(error instanceof CaudalError)) throw error;
          continue;
        }
        const open = [...entriesOf(state.open)];
        expect(state.reserved).toBe(open.reduce((sum, [, reservation]) => sum + reservation.quantity, 0n));
        expect(state.onHand).toBe(balance(log));
        expect(view).toEqual({ ...stockItemMessage(state, log.length), etag: '' });
        expect(availableOf(state)).toBeGreaterThanOrEqual(0n);
        expect(state.onHand - state.reserved).toBeGreaterThanOrEqual(0n);
        if (input.kind !== 'restock' && input.kind !== 'adjust') {
          expect(decide(state, new Date(clock), input)).toEqual([]);
        }
      }
      const returns = log.flatMap((event) => (event.$case === 'returned' ? [event.value] : []));
      for (const { reservationId, quantity: back } of returns) {
        const out = log.filter((event) => event.$case === 'committed' && event.value.reservationId === reservationId);
        expect(out).toHaveLength(1);
        expect(back).toBeLessThanOrEqual((out[0]!.value as { quantity: bigint }).quantity);
      }
    }),
    { numRuns: 500 },
  );
});
