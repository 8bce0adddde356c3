import type { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { entriesOf } from '@caudal/kernel/expiring-map.ts';
import { deleted, ignored } from '@caudal/projections/types.ts';
import { claimsInMemory } from '@caudal/testing/claims-in-memory.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stockDashboard } from '../projections/stock-dashboard.ts';
import { stockItemMessage } from '../stock-item-message.ts';
import { command, decideToday } from '../testing/stock-commands.ts';
import { returnPieces } from './reservations.ts';
import { availableOf, type StockEvent, stockDecider } from './stock.ts';
import { createStockItem } from './stock-item.ts';

/** Pieces that were added minus pieces that left, counted from the events alone. */
function balance(events: StockEvent[]): bigint {
  return events.reduce((sum, { $case, value }) => {
    if ($case === 'created' || $case === 'restocked' || $case === 'returned') return sum + value.quantity;
    if ($case === 'adjusted') return sum + value.delta;
    return $case === 'committed' ? sum - value.quantity : sum;
  }, 0n);
}

type Returned = Extract<StockEvent, { $case: 'returned' }>['value'];

/** By reservation: the pieces that were committed, and the returns of them. */
function returnsIn(log: StockEvent[]): Map<string, { committed: bigint; returns: Returned[] }> {
  const found = new Map<string, { committed: bigint; returns: Returned[] }>();
  for (const { $case, value } of log) {
    if ($case === 'committed') found.set(value.reservationId, { committed: value.quantity, returns: [] });
    if ($case === 'returned') found.get(value.reservationId)!.returns.push(value);
  }
  return found;
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
      const claims = claimsInMemory(stockDecider.claims);
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
          claims.record(event, new Date(clock));
          if ('available' in event.value) expect(event.value.available).toBe(availableOf(state));
        }
      };
      apply(createStockItem(state, { productId: 'P1', ...item, policy }));
      for (const { command: input, seconds } of commands) {
        clock += seconds * 1000;
        try {
          apply(decideToday(state, claims.context(new Date(clock)), input));
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
        if (input.kind !== 'restock' && input.kind !== 'adjust' && input.kind !== 'return') {
          expect(decideToday(state, claims.context(new Date(clock)), input)).toEqual([]);
        }
      }
      for (const [id, { committed, returns }] of returnsIn(log)) {
        let out = committed;
        for (const one of returns) {
          out -= one.quantity;
          expect({ id, out: one.out }).toEqual({ id, out });
          // The last one may be a release, which does not ask how many were committed.
          if (out > 0n) expect({ id, committed: one.committed }).toEqual({ id, committed });
          expect(out).toBeGreaterThanOrEqual(0n);
        }
        // What is out can be returned, to the piece, and no more.
        const left = { productId: 'P1', reservationId: id, quantity: out };
        const context = claims.context(new Date(clock));
        expect(() => returnPieces(state, context, { ...left, quantity: out + 1n })).toThrow(CaudalError);
        if (out > 0n) expect(returnPieces(state, context, left)).toMatchObject([{ value: { quantity: out, out: 0n } }]);
      }
    }),
    { numRuns: 500 },
  );
});
