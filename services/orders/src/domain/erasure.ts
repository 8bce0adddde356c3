/**
 * A customer's erasure, as orders know it: its event destroys the key with which the customer's texts in this context are sealed
 * (docs/personal-data.md). The stream's id is the customer's.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, ordersErasure } from '@caudal/contract/entities.ts';

export type ErasureEvent = EventOf<typeof ordersErasure>;

export interface ErasureState {
  customerId: string;
}

export const erasureDecider: Decider<ErasureState, ErasureEvent> = {
  entity: ordersErasure,
  initial: { customerId: '' },
  owner: ({ customerId }) => customerId || undefined,
  evolve: (_, { value: { customerId } }) => ({ customerId }),
};

/** A repeat changes nothing. */
export function recordErasure(state: ErasureState, customerId: string): ErasureEvent[] {
  return state.customerId === '' ? [{ $case: 'erased', value: { customerId } }] : [];
}
