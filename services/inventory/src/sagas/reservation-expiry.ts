/**
 * Reservations end by themselves: when one is made its timer is set, when it ends its timer goes. The timer only asks for
 * the end; the stock decides, so of a commit and an expiry at the same moment the first in the log wins.
 */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type EventOf, stock } from '@caudal/contract/entities.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import { createTimerPolicy } from '@caudal/sagas/timer-policy.ts';
import type { ObservedEvent } from '@caudal/sagas/types.ts';
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
    entity: stock,
    timer: reservationTimer,
    fire(timer) {
      const [productId, reservationId] = timer.split('/') as [string, string];
      const origin = { actor: 'service:inventory', causationId: '', correlationId: reservationId, traceparent: '' };
      return expire({ productId, reservationId, origin, signal });
    },
    database,
    clock,
  });
}

/** The timer that an event of a product's stock sets or ends: one a product and reservation. */
export function reservationTimer({ id, event }: ObservedEvent<EventOf<typeof stock>>) {
  switch (event.$case) {
    case 'reserved':
      return { id: `${id}/${event.value.reservationId}`, dueAt: event.value.expireTime };
    case 'committed':
    case 'released':
    case 'expired':
      return { id: `${id}/${event.value.reservationId}`, dueAt: undefined };
    default:
      return undefined;
  }
}
