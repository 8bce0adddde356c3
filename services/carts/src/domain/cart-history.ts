/** What has followed from a customer's cart: its events. What is in it is in its row. */
import type { Decider } from '@caudal/aggregates/types.ts';
import { cart, type EventOf } from '@caudal/contract/entities.ts';

export type CartEvent = EventOf<typeof cart>;

export interface CartHistory {
  customerId: string;
  /** How many orders it has become. */
  checkouts: bigint;
  /** The last of these orders: a caller may say of each that it is placed. */
  orderIds: string[];
  /** The change after which it was last found abandoned. */
  abandonedSince: number;
}

/** More than callers of earlier checkouts can still be on their way. */
const mostOrders = 20;

export const cartDecider: Decider<CartHistory, CartEvent> = {
  entity: cart,
  initial: { customerId: '', checkouts: 0n, orderIds: [], abandonedSince: 0 },
  owner: ({ customerId }) => customerId || undefined,
  evolve(state, { $case, value }) {
    const { customerId } = value;
    if ($case === 'checkedOut') {
      const orderIds = [...state.orderIds, value.orderId].slice(-mostOrders);
      return { ...state, customerId, checkouts: value.checkout, orderIds };
    }
    return { ...state, customerId, abandonedSince: value.lastChangeTime?.getTime() ?? 0 };
  },
};

/** The cart has become this order. A repeat changes nothing. The number goes on from the stream: a row that has expired counts anew. */
export function checkedOut(
  state: CartHistory,
  { customerId, orderId }: { customerId: string; orderId: string },
): CartEvent[] {
  if (state.orderIds.includes(orderId)) return [];
  return [{ $case: 'checkedOut', value: { customerId, orderId, checkout: state.checkouts + 1n } }];
}

/** The cart was found abandoned since its last change. A repeat changes nothing. */
export function abandoned(
  state: CartHistory,
  found: { customerId: string; lines: number; lastChangeTime: Date; mayRemind: boolean },
): CartEvent[] {
  if (state.abandonedSince >= found.lastChangeTime.getTime()) return [];
  return [{ $case: 'abandoned', value: found }];
}
