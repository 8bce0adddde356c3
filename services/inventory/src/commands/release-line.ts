/** Releases one product's part of a reservation. It needs no command id: the stock remembers ended reservations. */
import type { Executed } from '@caudal/aggregates/types.ts';
import { Reservation } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import type { release } from '../domain/reservations.ts';
import { stockDecider } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';

export interface ReleaseLineInput {
  /** `release`, or `withdraw`. */
  decide: typeof release;
  productId: string;
  reservationId: string;
  reason: string;
  /** As in `ReleaseInput` of domain/reservations.ts. */
  committed?: bigint;
  origin: Origin;
  /** Absent for a compensation: it continues even if the caller has disconnected. */
  signal?: AbortSignal;
  /** See `Command.forwardable`. */
  forwardable?: boolean;
}

export function releaseLine(
  { aggregates }: Pick<InventoryDependencies, 'aggregates'>,
  { decide, productId, reservationId, reason, committed, origin, signal, forwardable }: ReleaseLineInput,
): Promise<Executed<Reservation>> {
  return aggregates.execute({
    decider: stockDecider,
    id: productId,
    decide: (state, context) => decide(state, context, { reservationId, reason, committed }),
    reply: (): Reservation => ({ reservationId, lines: [], expireTime: undefined }),
    replyCodec: Reservation,
    origin,
    signal,
    forwardable,
  });
}
