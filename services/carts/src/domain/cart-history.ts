/** What has followed from a customer's cart: its events. What is in it is in its row. */
import type { Decider } from '@caudal/aggregates/types.ts';
import { cart, type EventOf } from '@caudal/contract/entities.ts';

export type CartEvent = EventOf<typeof cart>;

export interface CartHistory {
  customerId: string;
  /** How many orders it has become. */
  checkouts: bigint;
  /** The change after which it was last found abandoned. */
  abandonedSince: number;
}

export const cartDecider: Decider<CartHistory, CartEvent> = {
  entity: cart,
  initial: { customerId: '', checkouts: 0n, abandonedSince: 0 },
  owner: ({ customerId }) => customerId || undefined,
  evolve(state, { $case, value }) {
    const { customerId } = value;
    if ($case === 'checkedOut') return { ...state, customerId, checkouts: value.checkout };
    return { ...state, customerId, abandonedSince: value.lastChangeTime?.getTime() ?? 0 };
  },
};

/** The cart has become this order. A repeat changes nothing. */
export function checkedOut(
  state: CartHistory,
  { customerId, orderId, checkout }: { customerId: string; orderId: string; checkout: bigint },
): CartEvent[] {
  if (state.checkouts >= checkout) return [];
  return [{ $case: 'checkedOut', value: { customerId, orderId, checkout } }];
}

/** The cart was found abandoned since its last change. A repeat changes nothing. */
export function abandoned(
  state: CartHistory,
  found: { customerId: string; lines: number; lastChangeTime: Date; mayRemind: boolean },
): CartEvent[] {
  if (state.abandonedSince >= found.lastChangeTime.getTime()) return [];
  return [{ $case: 'abandoned', value: found }];
}
