/**
 * What a product's stock remembers of reservations that hold no pieces any more: a claim each, beside the stream. For how
 * long: README, "Ended reservations are remembered for 7 days". One that was returned in part has two: see docs/returns.md.
 */
import type { ClaimContext, ClaimRules } from '@caudal/aggregates/types.ts';
import type { EventOf, stock } from '@caudal/contract/entities.ts';
import { rememberedDays } from '@caudal/contract/remembered.ts';

export interface EndedReservation {
  /** 'barred': released before it was made. 'returned': committed, then put back. */
  how: 'committed' | 'released' | 'expired' | 'returned' | 'barred';
  /** Of one that is committed, the pieces that are out: those that were committed and have not come back. */
  quantity: bigint;
}

/** The context of decisions about reservations. */
export type StockContext = ClaimContext<EndedReservation>;

/** How reservations end, in the order of their numbers in the log: only ever add to its end. */
const hows = ['committed', 'released', 'expired', 'returned', 'barred'] as const;

const days = 7;

/**
 * The id of the second claim of a reservation that was returned in part: how many of its pieces were committed. No reservation
 * has a slash in its id.
 */
export function committedClaim(reservationId: string): string {
  return `${reservationId}/committed`;
}

/** Until when a reservation that is barred now is remembered. */
export function barredUntil(now: Date): Date {
  return new Date(now.getTime() + days * 86_400_000);
}

export const reservationClaims: ClaimRules<EndedReservation, EventOf<typeof stock>> = {
  days,
  of(event) {
    switch (event.$case) {
      case 'committed':
      case 'released':
      case 'expired':
        return [{ id: event.value.reservationId, outcome: { how: event.$case, quantity: event.value.quantity } }];
      case 'returned': {
        const { reservationId, quantity, committed = 0n, out = 0n } = event.value;
        // Events without `out` are older than returns in parts: what they left out can't be returned.
        if (out === 0n) return [{ id: reservationId, outcome: { how: 'returned', quantity }, days: rememberedDays }];
        return [
          { id: reservationId, outcome: { how: 'committed', quantity: out }, days: rememberedDays },
          {
            id: committedClaim(reservationId),
            outcome: { how: 'committed', quantity: committed },
            days: rememberedDays,
          },
        ];
      }
      case 'barred':
        return [{ id: event.value.reservationId, outcome: { how: 'barred', quantity: 0n } }];
      case 'created':
      case 'restocked':
      case 'adjusted':
      case 'reserved':
        return [];
    }
  },
  encode: ({ how, quantity }) => ({ kind: hows.indexOf(how) + 1, outcome: Buffer.from(String(quantity)) }),
  decode({ kind, outcome }) {
    const how = hows[kind - 1];
    if (!how) throw new Error(`A claim says that a reservation ended in the way ${kind}, which is not known`);
    return { how, quantity: BigInt(Buffer.from(outcome).toString()) };
  },
};
