/**
 * Informs buyers of their orders: one saga per mail. No order waits for a mail, or fails because of one.
 */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, type ObservedEvent, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  notificationIdFor,
  request,
} from '../domain/notification.ts';
import type { Mailer } from '../mailer.ts';
import { compose, isOrderTemplate, type OrderTemplate } from '../templates.ts';
import { send } from './send.ts';

export interface OrderMailsDependencies {
  orders: Client<OrderQueryServiceService>;
  customers: Client<CustomerQueryServiceService>;
  mailer: Mailer;
}

export function orderMails({
  orders,
  customers,
  mailer,
}: OrderMailsDependencies): Saga<NotificationState, NotificationEvent> {
  return {
    name: 'order-mails',
    parts: 4,
    state: notificationDecider,
    observes: [
      observe(order, {
        saga: ({ id, event }) => notificationIdFor(id, templateFor(event)),
        reactions: { confirmed: ask, shipped: ask, delivered: ask, rejected: ask, cancelled: ask },
      }),
    ],
    next: ({ dueAt }) => dueAt && { name: 'send', dueAt },

    run: (_step, state, context) =>
      send(mailer, state, context, async () => {
        const { customerId, orderId, template, reason } = state.request;
        if (!isOrderTemplate(template)) return 'TEMPLATE_UNKNOWN';
        const { origin, signal } = context;
        const [customer, facts] = await Promise.all([
          customers.getCustomer({ customerId }, { origin, signal }),
          orders.getOrder({ orderId, readMask: undefined }, { origin, signal }),
        ]);
        return compose({ notificationId: context.sagaId, template, customer, order: facts, reason }) ?? 'NO_ADDRESS';
      }),
  };
}

/** The events that a mail is sent for. */
type Told = CaseOf<EventOf<typeof order>, 'confirmed' | 'shipped' | 'delivered' | 'rejected' | 'cancelled'>;

function templateFor({ $case }: Told): OrderTemplate {
  return `order_${$case}`;
}

/** Requests the mail about an event. */
function ask(state: NotificationState, event: Told, { id }: Pick<ObservedEvent, 'id'>): NotificationEvent[] {
  const template = templateFor(event);
  const { customerId } = event.value;
  const reason = 'reason' in event.value ? event.value.reason : '';
  const notificationId = notificationIdFor(id, template);
  return request(state, {
    ...notificationDecider.initial.request,
    notificationId,
    customerId,
    template,
    orderId: id,
    reason,
  });
}
