/**
 * Informs buyers of their orders: one saga per mail. No order waits for a mail, or fails because of one.
 */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import { type CaseOf, type ObservedEvent, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  notificationIdFor,
  request,
} from '../domain/notification.ts';
import type { Template } from '../templates.ts';
import { type MailDependencies, sendMail } from './send-mail.ts';

export function orderMails(dependencies: MailDependencies): Saga<NotificationState, NotificationEvent> {
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

    run: (_step, state, context) => sendMail(dependencies, state, context),
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
