/**
 * Informs buyers of their orders: one saga per mail. No order waits for a mail, or fails because of one.
 */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, type ObservedEvent, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  delay,
  markFailed,
  markSent,
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  notificationIdFor,
  request,
} from '../domain/notification.ts';
import type { Mailer } from '../mailer.ts';
import { compose, isTemplate, type Template } from '../templates.ts';

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

    async run(_step, state, { sagaId, now, origin, signal }) {
      const { customerId, orderId, template, reason } = state.request;
      if (!isTemplate(template)) return markFailed(state, sagaId, 'TEMPLATE_UNKNOWN');
      try {
        const [customer, facts] = await Promise.all([
          customers.getCustomer({ customerId }, { origin, signal }),
          orders.getOrder({ orderId, readMask: undefined }, { origin, signal }),
        ]);
        const mail = compose({ notificationId: sagaId, template, customer, order: facts, reason });
        if (!mail) return markFailed(state, sagaId, 'NO_ADDRESS');
        const outcome = await mailer.send(mail);
        return outcome.kind === 'accepted' ? markSent(state, sagaId) : markFailed(state, sagaId, outcome.reason);
      } catch (error) {
        // The order's view is not there yet, or the mail server is unreachable: this mail is delayed, and no other
        // waits for it.
        if (!isTransient(error) && !isCode(error, 'NOT_FOUND')) throw error;
        return delay(state, { now, version: 0 }, sagaId, error.reason);
      }
    },
  };
}

/** The events that a mail is sent for. */
type Told = CaseOf<EventOf<typeof order>, 'confirmed' | 'shipped' | 'delivered' | 'rejected' | 'cancelled'>;

function templateFor({ $case }: Told): Template {
  return `order_${$case}`;
}

/** Requests the mail about an event. */
function ask(state: NotificationState, event: Told, { id }: Pick<ObservedEvent, 'id'>): NotificationEvent[] {
  const template = templateFor(event);
  const { customerId } = event.value;
  const reason = 'reason' in event.value ? event.value.reason : '';
  return request(state, { notificationId: notificationIdFor(id, template), customerId, template, orderId: id, reason });
}
