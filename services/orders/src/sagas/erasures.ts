/** Follows the erasures of customers: what they have written in orders becomes unreadable, too. */
import { customer } from '@caudal/contract/entities.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import { type ErasureEvent, type ErasureState, erasureDecider, recordErasure } from '../domain/erasure.ts';

export const erasures: Saga<ErasureState, ErasureEvent> = {
  name: 'order-erasures',
  state: erasureDecider,
  // An erasure of before this saga's first run counts as well.
  from: 'start',
  observes: [
    observe(customer, {
      saga: ({ id }) => id,
      reactions: { erased: (state, { value: { customerId } }) => recordErasure(state, customerId) },
    }),
  ],
  // The event itself is all that there is to do.
  next: () => undefined,
  run: async () => [],
};
