/** Follows the erasures of customers: the public links to their parcels are deleted. */
import { customer } from '@caudal/contract/entities.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type LinkErasureEvent,
  type LinkErasureState,
  linkErasureDecider,
  recordErasure,
} from '../domain/link-erasure.ts';
import { deleteLinksOf } from '../store/parcel-links.ts';

export function linkErasures({ database }: { database: Database }): Saga<LinkErasureState, LinkErasureEvent> {
  return {
    name: 'link-erasures',
    state: linkErasureDecider,
    // An erasure of before this saga's first run counts as well.
    from: 'start',
    observes: [
      observe(customer, {
        saga: ({ id }) => id,
        reactions: { erased: (state, { value: { customerId } }) => recordErasure(state, customerId) },
      }),
    ],
    next: ({ customerId, deleted }) => (customerId === '' || deleted ? undefined : { name: 'delete-links' }),
    async run(_, { customerId }) {
      await deleteLinksOf(database, customerId);
      return [{ $case: 'linksDeleted', value: { customerId } }];
    },
  };
}
