/** The erasure of a customer, as credentials know it: API keys of this owner count no more. The stream's id is the owner's. */
import type { Aggregates, Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, ownerErasure } from '@caudal/contract/entities.ts';

export type OwnerErasureEvent = EventOf<typeof ownerErasure>;

export interface OwnerErasureState {
  /** Empty if the owner is not erased. */
  owner: string;
  /** Whether the tokens that it had then were revoked. */
  tokensRevoked: boolean;
}

export const ownerErasureDecider: Decider<OwnerErasureState, OwnerErasureEvent> = {
  entity: ownerErasure,
  initial: { owner: '', tokensRevoked: false },
  evolve: (_, { $case, value: { owner } }) => ({ owner, tokensRevoked: $case === 'tokensRevoked' }),
};

/** A repeat changes nothing. */
export function recordErasure(state: OwnerErasureState, owner: string): OwnerErasureEvent[] {
  return state.owner === '' ? [{ $case: 'ownerErased', value: { owner } }] : [];
}

/** Whether the customer of this id was erased (strong read). */
export async function isErased(aggregates: Pick<Aggregates, 'load'>, owner: string): Promise<boolean> {
  return (await aggregates.load(ownerErasureDecider, owner)).state.owner !== '';
}
