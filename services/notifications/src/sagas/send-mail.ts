/** The step of every saga that sends a mail: fetches what the mail is about, writes it, sends it, records the outcome. */
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import type { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import type { StepContext } from '@caudal/sagas/types.ts';
import { delay, markFailed, markSent, type NotificationEvent, type NotificationState } from '../domain/notification.ts';
import type { Mailer } from '../mailer.ts';
import { compose, isTemplate } from '../templates.ts';

export interface MailDependencies {
  orders: Client<OrderQueryServiceService>;
  customers: Client<CustomerQueryServiceService>;
  mailer: Mailer;
}

/**
 * Sends the requested mail and returns the facts of its outcome. `findShipment` reads the shipment that it is about; if its
 * tracking was corrected since, this mail is not sent, because the mail about the correction says the right one.
 */
export async function sendMail(
  { orders, customers, mailer }: MailDependencies,
  state: NotificationState,
  { sagaId, now, origin, signal }: StepContext,
  findShipment?: () => Promise<Shipment>,
): Promise<NotificationEvent[]> {
  const { customerId, orderId, template, reason, correction } = state.request;
  if (!isTemplate(template)) return markFailed(state, sagaId, 'TEMPLATE_UNKNOWN');
  try {
    const [customer, order, shipment] = await Promise.all([
      customers.getCustomer({ customerId }, { origin, signal }),
      orders.getOrder({ orderId, readMask: undefined }, { origin, signal }),
      findShipment?.(),
    ]);
    if (shipment && shipment.corrections > correction) return markFailed(state, sagaId, 'NUMBER_CORRECTED');
    const mail = compose({ notificationId: sagaId, template, customer, order, reason, shipment });
    if (!mail) return markFailed(state, sagaId, 'NO_ADDRESS');
    const outcome = await mailer.send(mail);
    return outcome.kind === 'accepted' ? markSent(state, sagaId) : markFailed(state, sagaId, outcome.reason);
  } catch (error) {
    // The order's view is not there yet, or the mail server is unreachable: this mail is delayed, and no other
    // waits for it.
    if (!isTransient(error) && !isCode(error, 'NOT_FOUND')) throw error;
    return delay(state, { now, version: 0 }, sagaId, error.reason);
  }
}
