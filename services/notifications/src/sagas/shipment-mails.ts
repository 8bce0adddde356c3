/**
 * The mails about single shipments: one for each that leaves after the first of its order, which the order's own mail is about,
 * and one for each correction of carrier or tracking number. A saga of its own beside order-mails: processes of version 0.2,
 * which know no shipments, share no queue and no timer with it.
 */
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import type { ShippingQueryServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
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
import type { Template } from '../templates.ts';
import { type MailDependencies, sendMail } from './send-mail.ts';

export interface ShipmentMailsDependencies extends MailDependencies {
  shipping: Client<ShippingQueryServiceService>;
}

export function shipmentMails({
  shipping,
  ...dependencies
}: ShipmentMailsDependencies): Saga<NotificationState, NotificationEvent> {
  return {
    name: 'shipment-mails',
    parts: 4,
    state: notificationDecider,
    observes: [
      observe(shipment, {
        saga: ({ event }) => mailOf(event)?.notificationId,
        reactions: { dispatched: ask, trackingCorrected: ask },
      }),
    ],
    next: ({ dueAt }) => dueAt && { name: 'send', dueAt },
    run(_step, state, context) {
      const { origin, signal } = context;
      const { shipmentId } = state.request;
      return sendMail(dependencies, state, context, () =>
        shipping.getShipment({ shipmentId, readMask: undefined }, { origin, signal }),
      );
    },
  };
}

/** The events that a mail is sent for. */
type Told = CaseOf<EventOf<typeof shipment>, 'dispatched' | 'trackingCorrected'>;

/** The mail about an event, if there is one. */
function mailOf(event: Told): { notificationId: string; template: Template; correction: number } | undefined {
  const { shipmentId } = event.value;
  if (event.$case === 'trackingCorrected') {
    const { correction } = event.value;
    const template = 'shipment_tracking_corrected';
    return { template, notificationId: notificationIdFor(`${shipmentId}/${correction}`, template), correction };
  }
  if (!event.value.later) return undefined;
  const template = 'shipment_dispatched';
  return { template, notificationId: notificationIdFor(shipmentId, template), correction: 0 };
}

/** Requests the mail about an event. */
function ask(state: NotificationState, event: Told): NotificationEvent[] {
  const mail = mailOf(event);
  if (!mail) return [];
  const { orderId, customerId, shipmentId } = event.value;
  return request(state, { ...notificationDecider.initial.request, ...mail, customerId, orderId, shipmentId });
}
