/** The notifications context: its settings and sagas. */
import { setting } from '@caudal/config/setting.ts';
import { defineContext } from '@caudal/context/context.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { ShippingQueryServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { notificationDecider } from './domain/notification.ts';
import { logMailer, smtpMailer } from './mailer.ts';
import { orderMails } from './sagas/order-mails.ts';
import { shipmentMails } from './sagas/shipment-mails.ts';

export const notifications = defineContext({
  name: 'notifications',
  settings: {
    NOTIFICATIONS_MAIL_URL: setting.url({
      description: 'The mail server. Without it mails are written to the log, without names and addresses.',
      optional: true,
      protocols: ['smtp', 'smtps'],
    }),
    NOTIFICATIONS_MAIL_FROM: setting.string({
      description: 'The sender of mails.',
      default: 'Caudal <orders@localhost>',
    }),
  },
  permissions: [
    'customers.customers.read:any',
    'orders.orders.read:any',
    'shipping.shipments.read:any',
    'log.events.read',
    'log.events.follow',
  ],
  deciders: [notificationDecider],
  commands: () => [],
  queries: () => [],
  projections: [],
  sagas: ({ aggregates, client, database, clock, signal, settings }) => {
    const mails = {
      orders: client(OrderQueryServiceService),
      customers: client(CustomerQueryServiceService),
      mailer: settings.NOTIFICATIONS_MAIL_URL
        ? smtpMailer({ url: settings.NOTIFICATIONS_MAIL_URL, from: settings.NOTIFICATIONS_MAIL_FROM })
        : logMailer(),
    };
    const sagas = [orderMails(mails), shipmentMails({ ...mails, shipping: client(ShippingQueryServiceService) })];
    return sagas.map((saga) => createSagaHandler({ saga, aggregates, database, clock, signal }));
  },
});
