/**
 * Tells buyers what became of their orders: one process a mail. Whatever happens to it, no order waits for it or fails
 * because of it.
 */
import { order } from '@caudal/contract/entities.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { observe, type Saga } from '@caudal/sagas/types.ts';
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
import { compose, isTemplate, templateFor } from '../templates.ts';

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
    state: notificationDecider,
    observes: [
      observe(order, {
        saga({ id, event }) {
          const template = templateFor(event.$case);
          return template && notificationIdFor(id, template);
        },
        react(state, { id, event }) {
          const template = templateFor(event.$case)!;
          const { customerId = '', reason = '' } = event.value as { customerId?: string; reason?: string };
          const notificationId = notificationIdFor(id, template);
          return request(state, { notificationId, customerId, template, orderId: id, reason });
        },
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
        // A view that is not there yet, a mail server that is away: the mail waits by itself, for minutes if need be.
        if (!isTransient(error) && !isCode(error, 'NOT_FOUND')) throw error;
        return delay(state, { now, version: 0 }, sagaId, error.reason);
      }
    },
  };
}
