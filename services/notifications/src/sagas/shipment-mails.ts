/**
 * The mails about single shipments: one for each that leaves after the first of its order, which the order's own mail is about,
 * one for each correction of carrier or tracking number, and one for each part that is withdrawn. A saga of its own beside order-mails: processes of version 0.2,
 * which know no shipments, share no queue and no timer with it.
 */
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import type { NotificationRequested } from '@caudal/contract/gen/caudal/notifications/v1/events.ts';
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
        reactions: { dispatched: ask, trackingCorrected: ask, cancelled: ask },
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
type Told = CaseOf<EventOf<typeof shipment>, 'dispatched' | 'trackingCorrected' | 'cancelled'>;

type AskedMail = Pick<
  NotificationRequested,
  'notificationId' | 'template' | 'shipmentId' | 'customerId' | 'correction'
>;

/** The mail about an event, if there is one. */
function mailOf(event: Told): AskedMail | undefined {
  const { customerId } = event.value;
  // Events of version 0.2 have no customer. An order that is cancelled as a whole has a mail of its own.
  if (!customerId) return undefined;
  const about = (shipmentId: string, template: Template, subject = shipmentId, correction = 0): AskedMail => {
    return {
      ...{ template, shipmentId, customerId, correction },
      notificationId: notificationIdFor(subject, template),
    };
  };
  switch (event.$case) {
    case 'dispatched':
      return event.value.later ? about(event.value.shipmentId, 'shipment_dispatched') : undefined;
    case 'trackingCorrected': {
      const { shipmentId, correction } = event.value;
      return about(shipmentId, 'shipment_tracking_corrected', `${shipmentId}/${correction}`, correction);
    }
    case 'cancelled': {
      const [shipmentId] = event.value.shipmentIds;
      return shipmentId === undefined ? undefined : about(shipmentId, 'shipment_withdrawn');
    }
  }
}

/** Requests the mail about an event. */
function ask(state: NotificationState, event: Told): NotificationEvent[] {
  const mail = mailOf(event);
  if (!mail) return [];
  return request(state, { ...notificationDecider.initial.request, ...mail, orderId: event.value.orderId });
}
