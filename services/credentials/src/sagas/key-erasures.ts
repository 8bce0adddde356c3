/** Follows the erasures of customers: their API keys end. */
import { customer } from '@caudal/contract/entities.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type OwnerErasureEvent,
  type OwnerErasureState,
  ownerErasureDecider,
  recordErasure,
} from '../domain/owner-erasure.ts';

export const keyErasures: Saga<OwnerErasureState, OwnerErasureEvent> = {
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
  // The event itself is all that there is to do: checks of keys ask for it.
  next: () => undefined,
  run: async () => [],
};
