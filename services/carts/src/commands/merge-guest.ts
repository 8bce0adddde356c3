/** Takes a guest's cart into the customer's at a login: both rows change in one transaction. */

import { emptyCart, quantityOf } from '@caudal/carts/cart.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import { conflictsOf, mergeOnLogin, type LoginRule as Rule } from '@caudal/carts/login.ts';
import {
  type CartConflict,
  CartView,
  LoginRule,
  type MergeGuestCartRequest,
  type MergeGuestCartResponse,
} from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { refused } from '@caudal/kernel/errors.ts';
import type { Call, Client } from '@caudal/rpc/types.ts';
import { cartMessage } from '../cart-message.ts';
import { changedTo, newCart, serverDevice, withUid } from '../domain/stored-cart.ts';
import { ofRegistered } from '../registration.ts';
import type { CartRow } from '../store/cart-store.ts';
import { type CartKey, customerKey, guestKey, noGuestCart } from '../store/keys.ts';
import type { ReserveDependencies } from './reserve.ts';

const rules: Partial<Record<LoginRule, Rule>> = {
  [LoginRule.LOGIN_RULE_SUM]: 'sum',
  [LoginRule.LOGIN_RULE_MAX]: 'max',
  [LoginRule.LOGIN_RULE_KEEP_MINE]: 'keep_mine',
  [LoginRule.LOGIN_RULE_KEEP_THEIRS]: 'keep_theirs',
};

export interface MergeGuestDependencies extends Pick<ReserveDependencies, 'store' | 'seals' | 'clock' | 'ids'> {
  customers: Client<CustomerQueryServiceService>;
}

export function mergeGuestCart({ store, seals, customers, clock, ids }: MergeGuestDependencies) {
  return async (request: MergeGuestCartRequest, call: Call): Promise<MergeGuestCartResponse> => {
    const { customerId, guestCartId, guestToken } = request;
    const keys = [await customerKey(seals, customerId), guestKey(guestCartId, guestToken)];
    const { cart, conflicts } = await ofRegistered({ customers, customerId, call }, (assertMade) =>
      mergeRows(keys, request, assertMade),
    );
    return { cart: cartMessage(cart, { customerId, view: CartView.CART_VIEW_EXPLAINED }), conflicts };
  };

  async function mergeRows(
    keys: CartKey[],
    { customerId, rule: asked }: MergeGuestCartRequest,
    assertMade: (row: CartRow) => void,
  ): Promise<{ cart: CartRow; conflicts: CartConflict[] }> {
    let conflicts: CartConflict[] = [];
    let merged: CartRow | undefined;
    await store.changeBoth(keys, (rows) => {
      const [mine, guests] = rows as [CartRow, CartRow];
      merged = mine;
      if (!guests.exists) throw noGuestCart();
      if (guests.mergedInto === customerId) return rows;
      // Who has the token later, on the same device, is another buyer.
      if (guests.mergedInto !== undefined)
        throw refused('GUEST_CART_MERGED', "The guest's cart was taken into another customer's at a login.");
      assertMade(mine);
      const rule = rules[asked];
      const found = conflictsOf(mine.stored.cart, guests.stored.cart).filter((one) => one.mine !== one.theirs);
      if (!rule && found.length > 0) {
        conflicts = found.map(({ key, mine: own, theirs }) => ({
          ...itemOf(key),
          ...{ mine: BigInt(own), theirs: BigInt(theirs) },
        }));
        return rows;
      }
      const now = clock();
      const by = { device: serverDevice, nowMs: now.getTime() };
      // To the customer's copies, all of it is new.
      const cart = mergeOnLogin(mine.stored.cart, guests.stored.cart, rule ?? 'sum', by);
      // The guest's copies have seen nothing of the customer's cart yet: until they have, or are forgotten, what is removed stays known.
      const copies = [...guests.stored.devices].map(([of, { seenMs }]) => [of, { version: 0, seenMs }] as const);
      const devices = new Map([...copies, ...mine.stored.devices]);
      const stored = withUid(changedTo({ ...mine.stored, devices }, cart, now), ids());
      const known = [guests, mine].flatMap(({ stored: { cart: of, prices } }) =>
        [...prices].filter(([line]) => quantityOf(of.lines.get(line)) > 0),
      );
      merged = { ...mine, exists: true, stored: { ...stored, prices: new Map(known) }, changedAt: now };
      const emptied = { ...newCart(), version: guests.stored.version + 1, cart: emptyCart() };
      return [merged, { ...guests, stored: emptied, mergedInto: customerId, changedAt: now }];
    });
    return { cart: merged!, conflicts };
  }
}
