/**
 * The order of a list, from a request's `order_by` (AIP-132). The default order is one that does not move, so that a
 * walk through all pages gives every item once: docs/lists.md.
 */
import { invalidField } from '@caudal/kernel/errors.ts';
import type { Query } from '@caudal/projections/types.ts';

/** The orders of a list: what a caller may write, each with the keys of the view. The first is the default. */
export type ListOrders = Record<string, NonNullable<Query['orderBy']>>;

/**
 * The order that a request asks for. Blanks do not matter, `asc` may be written, and names may be those of JSON
 * (`createTime`). Throws INVALID_ARGUMENT for another one, which names those there are.
 */
export function listOrder(orderBy: string, orders: ListOrders): Required<Pick<Query, 'order' | 'orderBy'>> {
  const known = Object.keys(orders);
  const order = normalized(orderBy) || known[0]!;
  if (Object.hasOwn(orders, order)) return { order, orderBy: orders[order]! };
  throw invalidField('order_by', `must be one of ${known.map((name) => `"${name}"`).join(', ')}, or absent`);
}

/** ` createTime  asc` is `create_time`. */
function normalized(orderBy: string): string {
  return orderBy
    .trim()
    .replace(/ +/g, ' ')
    .replace(/ asc$/, '')
    .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
