/** Each order of the plan with the system's order and payment: the basis of the checks and the report. */
import { type Order, OrderStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { fromMinorUnits } from './decimal.ts';
import type { Facts } from './facts.ts';
import { type Outcome, orderIdOf } from './outcome.ts';
import { fileAmount, type Plan, type PlannedOrder } from './plan.ts';

/** 'open': it has not ended. 'missing': the system does not have it. */
export type End = 'delivered' | 'rejected' | 'cancelled' | 'open' | 'missing';

export interface TalliedOrder {
  planned: PlannedOrder;
  orderId: string;
  end: End;
  order: Order | undefined;
  payment: Payment | undefined;
  /** The system's total, in minor units. */
  total: bigint;
  /** Its amount in the sums of the file, in millionths; 0 until it has ended. */
  amount: bigint;
}

export interface Source {
  plan: Plan;
  outcome: Outcome;
  facts: Facts;
}

const ends: Record<OrderStatus, End> = {
  [OrderStatus.ORDER_STATUS_UNSPECIFIED]: 'open',
  [OrderStatus.ORDER_STATUS_PENDING]: 'open',
  [OrderStatus.ORDER_STATUS_CONFIRMED]: 'open',
  [OrderStatus.ORDER_STATUS_SHIPPED]: 'open',
  [OrderStatus.ORDER_STATUS_DELIVERED]: 'delivered',
  [OrderStatus.ORDER_STATUS_REJECTED]: 'rejected',
  [OrderStatus.ORDER_STATUS_CANCELLING]: 'open',
  [OrderStatus.ORDER_STATUS_CANCELLED]: 'cancelled',
};

/** The orders of the plan, in its order. */
export function tally({ plan, outcome, facts }: Source): TalliedOrder[] {
  return plan.orders.map((planned) => {
    const orderId = orderIdOf(outcome.idPrefix, planned.reference);
    const order = facts.orders.get(orderId);
    const total = order?.total?.minorUnits ?? 0n;
    const end = order ? ends[order.status] : 'missing';
    return {
      planned,
      orderId,
      end,
      order,
      payment: facts.payments.get(orderId),
      total,
      amount: amountOf(end, total, planned),
    };
  });
}

/** Whatever was planned, a delivered order counts as revenue, and an undone order with the file's amount. */
function amountOf(end: End, total: bigint, { fate }: PlannedOrder): bigint {
  if (end === 'delivered') return fromMinorUnits(total);
  return isUndone({ end }) ? fileAmount({ total, fate }) : 0n;
}

/** Rejected or cancelled: no money is kept. */
export function isUndone({ end }: Pick<TalliedOrder, 'end'>): boolean {
  return end === 'rejected' || end === 'cancelled';
}

/** The money that the system keeps, in millionths. */
export function revenueOf(orders: TalliedOrder[]): bigint {
  return sum(orders.filter(isSold), ({ total }) => fromMinorUnits(total));
}

/** Bought, paid and delivered. */
export function isSold({ end }: TalliedOrder): boolean {
  return end === 'delivered';
}

export function sum<T>(items: Iterable<T>, amount: (item: T) => bigint): bigint {
  let total = 0n;
  for (const item of items) total += amount(item);
  return total;
}

/** The sum of the amounts under each key. */
export function sumBy<T>(
  items: Iterable<T>,
  key: (item: T) => string,
  amount: (item: T) => bigint,
): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const item of items) sums.set(key(item), (sums.get(key(item)) ?? 0n) + amount(item));
  return sums;
}
