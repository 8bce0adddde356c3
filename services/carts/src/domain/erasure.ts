/**
 * A customer's erasure, as carts know it: its event destroys the key of the customer's cart (docs/personal-data.md), and then the row is
 * deleted. The stream's id is the customer's.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { cartErasure, type EventOf } from '@caudal/contract/entities.ts';

export type ErasureEvent = EventOf<typeof cartErasure>;

export interface ErasureState {
  customerId: string;
  /** Whether the row is deleted. */
  deleted: boolean;
}

export const erasureDecider: Decider<ErasureState, ErasureEvent> = {
  entity: cartErasure,
  initial: { customerId: '', deleted: false },
  owner: ({ customerId }) => customerId || undefined,
  evolve: (_, { $case, value: { customerId } }) => ({ customerId, deleted: $case === 'deleted' }),
};

/** A repeat changes nothing. */
export function recordErasure(state: ErasureState, customerId: string): ErasureEvent[] {
  return state.customerId === '' ? [{ $case: 'erased', value: { customerId } }] : [];
}
