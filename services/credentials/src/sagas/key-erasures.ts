/** Follows the erasures of customers: their API keys and tokens end. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { customer } from '@caudal/contract/entities.ts';
import { Revocation } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type OwnerErasureEvent,
  type OwnerErasureState,
  ownerErasureDecider,
  recordErasure,
} from '../domain/owner-erasure.ts';
import { revocationDecider, revocationsId, revokeErased } from '../domain/revocations.ts';

export interface KeyErasuresDependencies {
  aggregates: Pick<Aggregates, 'execute'>;
  /** How long a user's token may live: after that it needs no revocation. */
  tokenLifetimeMs: number;
}

export const keyErasures = ({
  aggregates,
  tokenLifetimeMs: lifetimeMs,
}: KeyErasuresDependencies): Saga<OwnerErasureState, OwnerErasureEvent> => ({
  name: 'key-erasures',
  state: ownerErasureDecider,
  // An erasure of before this saga's first run counts as well.
  from: 'start',
  observes: [
    observe(customer, {
      saga: ({ id }) => id,
      reactions: { erased: (state, { value: { customerId } }) => recordErasure(state, customerId) },
    }),
  ],
  // Of keys the event itself is all that there is to do: their checks ask for it.
  next: ({ owner, tokensRevoked }) => (owner !== '' && !tokensRevoked ? { name: 'revoke-tokens' } : undefined),
  async run(_step, { owner }, { origin, signal }) {
    // A repeat revokes a little more, which does no harm.
    await aggregates.execute({
      decider: revocationDecider,
      id: revocationsId,
      decide: (state, context) => revokeErased(state, context, { subject: owner, lifetimeMs }),
      reply: () => Revocation.fromPartial({ subject: owner }),
      replyCodec: Revocation,
      ...{ origin, signal },
    });
    return [{ $case: 'tokensRevoked', value: { owner } }];
  },
});
