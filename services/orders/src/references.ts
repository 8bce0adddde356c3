/**
 * The references of orders: what a buyer has written. Events, states and views have them sealed (docs/personal-data.md), and only answers
 * open them.
 */
import { order } from '@caudal/contract/entities.ts';
import type { Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { PersonalText } from '@caudal/contract/personal.ts';

/** `Tools.openTexts` of a context. */
export type OpenTexts = (texts: PersonalText[]) => Promise<string[]>;

/** The orders with their references as texts. Orders without one cost nothing. */
export async function withReferences(orders: Order[], openTexts: OpenTexts): Promise<Order[]> {
  const sealed = orders.filter(({ reference }) => reference !== '');
  if (sealed.length === 0) return orders;
  const texts = await openTexts(
    sealed.map(({ customerId, reference }) => {
      return { person: customerId, entity: order.name, field: 'reference', text: reference };
    }),
  );
  const opened = new Map(sealed.map(({ orderId }, n) => [orderId, texts[n]!]));
  return orders.map((one) => ({ ...one, reference: opened.get(one.orderId) ?? one.reference }));
}
