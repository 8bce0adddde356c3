/**
 * A customer's erasure, as far as it concerns public links: those to the customer's parcels are deleted. The stream's id is the
 * customer's.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, linkErasure } from '@caudal/contract/entities.ts';

export type LinkErasureEvent = EventOf<typeof linkErasure>;

export interface LinkErasureState {
  /** Empty if the customer is not erased. */
  customerId: string;
  /** Whether the links are deleted. */
  deleted: boolean;
}

export const linkErasureDecider: Decider<LinkErasureState, LinkErasureEvent> = {
  entity: linkErasure,
  initial: { customerId: '', deleted: false },
  owner: ({ customerId }) => customerId || undefined,
  evolve: (_, { $case, value: { customerId } }) => ({ customerId, deleted: $case === 'linksDeleted' }),
};

/** A repeat changes nothing. */
export function recordErasure(state: LinkErasureState, customerId: string): LinkErasureEvent[] {
  return state.customerId === '' ? [{ $case: 'customerErased', value: { customerId } }] : [];
}
