/** Ends a reservation whose time is over: what a timer calls. */
import { Reservation } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { expire } from '../domain/reservations.ts';
import { openReservation, stockDecider } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';

export interface ExpireReservationInput {
  productId: string;
  reservationId: string;
  origin: Origin;
  signal?: AbortSignal;
}

/**
 * Ends the reservation if its time is over. Returns undefined once it has ended (or never was), or the time at which to
 * ask again: this process's clock may be behind that of the one that set the timer. Errors: what `execute` throws.
 */
export function expireReservation({ aggregates }: Pick<InventoryDependencies, 'aggregates'>) {
  return async ({ productId, reservationId, origin, signal }: ExpireReservationInput): Promise<Date | undefined> => {
    const { reply } = await aggregates.execute({
      decider: stockDecider,
      id: productId,
      decide: (state, context) => expire(state, context, { reservationId }),
      reply: ({ state }): Reservation => ({
        reservationId,
        lines: [],
        expireTime: openReservation(state, reservationId)?.expireAt,
      }),
      replyCodec: Reservation,
      origin,
      signal,
    });
    return reply.expireTime;
  };
}
