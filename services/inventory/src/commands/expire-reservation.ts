/** Ends an overdue reservation. The expiry timer calls this. */
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
 * Ends the reservation if it is overdue. Returns undefined once it has ended (or if it is unknown), else the time of
 * the next try: this process's clock may be behind the clock that set the timer. Errors: as `execute`.
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
