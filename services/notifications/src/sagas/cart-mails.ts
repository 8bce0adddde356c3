/** Reminds customers who have agreed to it of a cart that they have left: one mail for each time that it was found abandoned. */
import { cart, type EventOf } from '@caudal/contract/entities.ts';
import { type CartQueryServiceService, CartView } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  notificationIdFor,
  request,
} from '../domain/notification.ts';
import { composeReminder } from '../templates.ts';
import { addressOf, type Post, send } from './send.ts';

export interface CartMailsDependencies extends Post {
  carts: Client<CartQueryServiceService>;
  customers: Client<CustomerQueryServiceService>;
}

const template = 'cart_abandoned';

type Abandoned = CaseOf<EventOf<typeof cart>, 'abandoned'>;

const idOf = ({ value: { customerId, lastChangeTime } }: Abandoned) =>
  notificationIdFor(`${customerId}/${lastChangeTime?.getTime() ?? 0}`, template);

export function cartMails({
  carts,
  customers,
  ...post
}: CartMailsDependencies): Saga<NotificationState, NotificationEvent> {
  return {
    name: 'cart-mails',
    state: notificationDecider,
    observes: [observe(cart, { saga: ({ event }) => idOf(event), reactions: { abandoned: ask } })],
    next: ({ dueAt }) => dueAt && { name: 'send', dueAt },

    run: (_step, state, context) =>
      send(post, state, context, async () => {
        const { customerId } = state.request;
        const { origin, signal, sagaId: notificationId } = context;
        const view = CartView.CART_VIEW_BASIC;
        const found = await carts
          .getCart({ customerId, view, readMask: undefined }, { origin, signal })
          .catch((error: unknown) => {
            // Erased since the cart was found abandoned: another attempt would be refused as well.
            if (isCode(error, 'FAILED_PRECONDITION') && error.reason === 'CUSTOMER_ERASED') return error.reason;
            throw error;
          });
        if (typeof found === 'string') return found;
        const { lines, fields } = found;
        // Ordered or emptied since.
        if (lines.length === 0) return 'NOT_WANTED';
        if (!fields.some(({ name, values }) => name === 'reminders' && values[0] === 'yes')) return 'NOT_WANTED';
        const customer = await customers.getCustomer({ customerId, readMask: undefined }, { origin, signal });
        const address = addressOf(customer, post, true);
        if (typeof address === 'string') return address;
        return { customerId, mail: composeReminder({ notificationId, ...address, lines: lines.length }) };
      }),
  };
}

/** Requests the mail, if the customer wants reminders. */
function ask(state: NotificationState, event: Abandoned): NotificationEvent[] {
  if (!event.value.mayRemind) return [];
  const { customerId } = event.value;
  return request(state, {
    ...notificationDecider.initial.request,
    ...{ notificationId: idOf(event), customerId, template },
  });
}
