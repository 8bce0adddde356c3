/** Carts of guests: caudal.carts.v1.GuestCartService. */
import { GuestCartServiceService } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { service } from '@caudal/rpc/types.ts';
import type { CartRow } from '../store/cart-store.ts';
import { guestKey, newGuestToken, noGuestCart } from '../store/keys.ts';
import { type CartDependencies, syncRow } from './cart-service.ts';

/** Of so many new products a sync asks the catalogue: the token that it takes is free. */
const mostLookedUp = 50;

export function guestCartService(
  dependencies: Pick<CartDependencies, 'store' | 'products' | 'fields' | 'clock' | 'ids'>,
) {
  const { store, ids, clock } = dependencies;
  return service(GuestCartServiceService, {
    async createGuestCart(_, { signal }) {
      const guestCartId = ids();
      const guestToken = newGuestToken();
      const key = guestKey(guestCartId, guestToken);
      await store.change({
        ...{ key, signal },
        decide: (row) => ({
          row: { ...row, exists: true, tokenHash: key.tokenHash, changedAt: clock() },
          reply: undefined,
        }),
        repeat: () => undefined,
      });
      return { guestCartId, guestToken };
    },
    async syncGuestCart({ guestCartId, guestToken, ...request }, call) {
      const key = guestKey(guestCartId, guestToken);
      // Anyone can call this: no more work than a read for a caller without the cart's token.
      const row = await store.read(key);
      assertOpen(row);
      return syncRow(dependencies, key, request, call, { check: assertOpen, row, mostLookedUp });
    },
  });
}

function assertOpen({ exists, mergedInto }: CartRow): void {
  if (!exists) throw noGuestCart();
  if (mergedInto !== undefined)
    throw refused('GUEST_CART_MERGED', "The guest's cart was taken into a customer's at a login.");
}
