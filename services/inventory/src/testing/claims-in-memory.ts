/** The claims of one stock's events, for tests of decisions without a log. */
import { type EndedReservation, reservationClaims, type StockContext } from '../domain/claims.ts';
import type { StockEvent } from '../domain/stock.ts';

const dayMs = 86_400_000;

export function claimsInMemory() {
  const known = new Map<string, { outcome: EndedReservation; ends: number }>();
  return {
    record(event: StockEvent, at: Date): void {
      for (const { id, outcome, days = reservationClaims.days } of reservationClaims.of(event))
        known.set(id, { outcome, ends: at.getTime() + days * dayMs });
    },
    context: (now: Date): StockContext => ({
      now,
      version: 1,
      claim(id) {
        const one = known.get(id);
        return one && one.ends > now.getTime() ? one.outcome : undefined;
      },
    }),
  };
}
