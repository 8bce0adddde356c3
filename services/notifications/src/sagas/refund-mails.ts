/**
 * Informs customers of money that was paid back: a mail for each refund of a payment, whole or in part. It is a saga with queues of its own,
 * so that a process of a version without such mails can't take the events and pass over them.
 */
import { type EventOf, payment } from '@caudal/contract/entities.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Order, type OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, type ObservedEvent, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  refundNotificationIdFor,
  request,
} from '../domain/notification.ts';
import { composeRefund } from '../templates.ts';
import { addressOf, type Post, send } from './send.ts';

export interface RefundMailsDependencies extends Post {
  payments: Client<PaymentQueryServiceService>;
  orders: Client<OrderQueryServiceService>;
  customers: Client<CustomerQueryServiceService>;
}

export function refundMails({
  payments,
  orders,
  customers,
  ...post
}: RefundMailsDependencies): Saga<NotificationState, NotificationEvent> {
  return {
    name: 'refund-mails',
    parts: 4,
    state: notificationDecider,
    observes: [
      observe(payment, {
        saga({ id, event }) {
          const refundId = refundIdOf(event);
          return refundId === undefined ? undefined : refundNotificationIdFor(id, refundId);
        },
        reactions: { refunded: ask, refundCompleted: ask },
      }),
    ],
    next: ({ dueAt }) => dueAt && { name: 'send', dueAt },

    run: (_step, state, context) =>
      send(post, state, context, async () => {
        const { customerId, paymentId, orderId, amount, settled = false } = state.request;
        const { origin, signal } = context;
        const paid = await payments.getPaymentStatus({ paymentId, readMask: undefined }, { origin, signal });
        const back = amount ?? paid.amount;
        if (!back || back.minorUnits <= 0n) return 'NOTHING_PAID_BACK';
        const [customer, facts] = await Promise.all([
          customers.getCustomer({ customerId: customerId || paid.customerId, readMask: undefined }, { origin, signal }),
          // A payment may belong to no order that is listed: then the mail names the order by its id alone.
          orders.getOrder({ orderId, readMask: undefined }, { origin, signal }).catch((error: unknown) => {
            if (isCode(error, 'NOT_FOUND')) return Order.fromPartial({ orderId });
            throw error;
          }),
        ]);
        const refund = { amount: back, paid: paid.amount, byWallet: paid.walletId !== '', settled };
        const address = addressOf(customer, post, false);
        if (typeof address === 'string') return address;
        const mail = composeRefund({ notificationId: context.sagaId, ...address, order: facts, refund });
        return { customerId: customer.customerId, mail };
      }),
  };
}

/** The events that a mail is sent for. */
type PaidBack = CaseOf<EventOf<typeof payment>, 'refunded' | 'refundCompleted'>;

/**
 * The refund that an event is about: a part has an id, all of a payment has none. Undefined if others have told of it:
 * the last event of a payment that was paid back in parts.
 */
function refundIdOf(event: PaidBack): string | undefined {
  if (event.$case === 'refundCompleted') return event.value.refundId;
  return event.value.inParts ? undefined : 'whole';
}

/** Requests the mail about an event. */
function ask(state: NotificationState, event: PaidBack, { id }: Pick<ObservedEvent, 'id'>): NotificationEvent[] {
  const refundId = refundIdOf(event);
  if (refundId === undefined) return [];
  const { orderId, customerId = '', amount, settled } = event.value;
  return request(state, {
    ...notificationDecider.initial.request,
    notificationId: refundNotificationIdFor(id, refundId),
    customerId,
    template: 'payment_refunded',
    orderId,
    paymentId: id,
    amount,
    settled,
  });
}
