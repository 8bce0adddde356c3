/**
 * Expires reservations: a reservation sets a timer, and its end removes it. The timer only sends a command; the stock
 * decides, so if a commit and an expiry happen at the same moment, the first in the log wins.
 */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type EventOf, stock } from '@caudal/contract/entities.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { CaseOf, ObservedEvent } from '@caudal/sagas/observe.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import { createTimerPolicy, type TimerSetting, type TimerSettings } from '@caudal/sagas/timer-policy.ts';
import { expireReservation } from '../commands/expire-reservation.ts';

export interface ReservationExpiryDependencies {
  aggregates: Aggregates;
  database: Database;
  clock: Clock;
  signal: AbortSignal;
}

export function reservationExpiry({
  aggregates,
  database,
  clock,
  signal,
}: ReservationExpiryDependencies): TimedHandler {
  const expire = expireReservation({ aggregates });
  return createTimerPolicy({
    name: 'reservation-expiry',
    parts: 4,
    entity: stock,
    timers: reservationTimers,
    fire(timer) {
      const [productId, reservationId] = timer.split('/') as [string, string];
      const origin = { actor: 'service:inventory', causationId: '', correlationId: reservationId, traceparent: '' };
      return expire({ productId, reservationId, origin, signal });
    },
    database,
    clock,
  });
}

type Stock = EventOf<typeof stock>;

/** The timers that events of a product's stock set or remove: one per product and reservation. */
export const reservationTimers = {
  reserved: ({ value }, { id }) => ({ id: `${id}/${value.reservationId}`, dueAt: value.expireTime }),
  committed: ended,
  released: ended,
  expired: ended,
} satisfies TimerSettings<Stock>;

function ended(
  { value }: CaseOf<Stock, 'committed' | 'released' | 'expired'>,
  { id }: Pick<ObservedEvent, 'id'>,
): TimerSetting {
  return { id: `${id}/${value.reservationId}`, dueAt: undefined };
}
