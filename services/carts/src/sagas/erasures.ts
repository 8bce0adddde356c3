/** Follows the erasures of customers: their carts become unreadable, then their rows are deleted. */
import { customer } from '@caudal/contract/entities.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import { type ErasureEvent, type ErasureState, erasureDecider, recordErasure } from '../domain/erasure.ts';
import { deleteCart } from '../store/cart-rows.ts';
import { customerCartId } from '../store/keys.ts';

export function erasures({ database }: { database: Database }): Saga<ErasureState, ErasureEvent> {
  return {
    name: 'cart-erasures',
    state: erasureDecider,
    // An erasure of before this saga's first run counts as well.
    from: 'start',
    observes: [
      observe(customer, {
        saga: ({ id }) => id,
        reactions: { erased: (state, { value: { customerId } }) => recordErasure(state, customerId) },
      }),
    ],
    // The key is destroyed first: whoever reads the row before it is deleted can't open it.
    next: ({ customerId, deleted }) =>
      customerId === '' || deleted ? undefined : { name: 'delete-cart', afterAppend: true },
    async run(_, { customerId }) {
      await deleteCart(database, customerCartId(customerId));
      return [{ $case: 'deleted', value: { customerId } }];
    },
  };
}
