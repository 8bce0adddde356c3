/** The step of the sagas that send mails about orders: fetches what the mail is about, and writes it. */
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import type { StepContext } from '@caudal/sagas/types.ts';
import { isLastAttempt, type NotificationEvent, type NotificationState } from '../domain/notification.ts';
import { compose, isTemplate, shipmentsLeft } from '../templates.ts';
import { addressOf, type Post, send } from './send.ts';

export interface MailDependencies extends Post {
  orders: Client<OrderQueryServiceService>;
  customers: Client<CustomerQueryServiceService>;
}

/**
 * Sends the requested mail and returns the facts of its outcome. `findShipment` reads the shipment that it is about; if its
 * tracking was corrected since, this mail is not sent, because the mail about the correction says the right one.
 */
export function sendMail(
  { orders, customers, ...post }: MailDependencies,
  state: NotificationState,
  context: StepContext,
  findShipment?: () => Promise<Shipment>,
): Promise<NotificationEvent[]> {
  return send(post, state, context, async () => {
    const { customerId, orderId, template, reason, correction } = state.request;
    if (!isTemplate(template)) return 'TEMPLATE_UNKNOWN';
    const { origin, signal } = context;
    const [customer, order, shipment] = await Promise.all([
      customers.getCustomer({ customerId, readMask: undefined }, { origin, signal }),
      orders.getOrder({ orderId, readMask: undefined }, { origin, signal }),
      findShipment?.(),
    ]);
    const address = addressOf(customer, post, order.total?.minorUnits === 0n);
    if (typeof address === 'string') return address;
    // The view of the order is behind: the mail would say that all has left, and no number.
    if (template === 'order_shipped' && shipmentsLeft(order).length === 0 && !isLastAttempt(state))
      throw unavailable('what has left, in the view of the order,');
    // A part that was withdrawn had no number.
    if (shipment && template !== 'shipment_withdrawn' && shipment.corrections > correction) return 'NUMBER_CORRECTED';
    const mail = compose({ notificationId: context.sagaId, template, ...address, order, reason, shipment });
    return { customerId, mail };
  });
}
