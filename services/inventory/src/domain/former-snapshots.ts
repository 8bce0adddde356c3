/**
 * Snapshots of version 0.2, whose state remembers ended reservations. Without them, a product's first use after the upgrade
 * would read its stream from the start. They are no longer needed 30 days after the last process of 0.2.
 */
import type { FormerSnapshots } from '@caudal/aggregates/types.ts';
import type { ExpiringMap } from '@caudal/kernel/expiring-map.ts';
import type { EndedReservation } from './claims.ts';
import type { StockState } from './stock.ts';

/** No claim of 0.2 ends later than this after the last event. */
const longestMs = 30 * 86_400_000;

export const formerSnapshots: FormerSnapshots<StockState, EndedReservation> = {
  schemaVersion: 3,
  read(former) {
    const { ended, ...state } = former as StockState & { ended: ExpiringMap<EndedReservation> };
    return { state, claims: ended, until: new Date((state.updatedAt?.getTime() ?? 0) + longestMs) };
  },
};
