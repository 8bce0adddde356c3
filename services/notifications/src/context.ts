/** The notifications context: its settings and sagas. */
import { setting } from '@caudal/config/setting.ts';
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ShippingQueryServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { notificationDecider } from './domain/notification.ts';
import { logMailer, smtpMailer } from './mailer.ts';
import { orderMails } from './sagas/order-mails.ts';
import { refundMails } from './sagas/refund-mails.ts';
import { shipmentMails } from './sagas/shipment-mails.ts';
import { parseSender } from './sender.ts';

export const notifications = defineContext({
  name: 'notifications',
  settings: {
    NOTIFICATIONS_MAIL_URL: setting.url({
      description: 'The mail server. Without it mails are written to the log, without names, addresses and references.',
      optional: true,
      protocols: ['smtp', 'smtps'],
    }),
    NOTIFICATIONS_MAIL_FROM: setting.parsed(
      {
        description: 'The sender of mails.',
        default: 'Caudal <orders@localhost>',
        expects: 'a mail address, with or without a name: Shop <orders@shop.example>',
        secrecy: 'public',
      },
      parseSender,
    ),
  },
  permissions: [
    'customers.customers.read:any',
    'orders.orders.read:any',
    'payments.payments.read:any',
    'shipping.shipments.read:any',
    ...logPermissions('orders', 'payments', 'shipping'),
  ],
  deciders: [notificationDecider],
  commands: () => [],
  queries: () => [],
  projections: [],
  sagas: ({ aggregates, client, database, clock, signal, settings }) => {
    const orders = client(OrderQueryServiceService);
    const customers = client(CustomerQueryServiceService);
    const mailer = settings.NOTIFICATIONS_MAIL_URL
      ? smtpMailer({ url: settings.NOTIFICATIONS_MAIL_URL, from: settings.NOTIFICATIONS_MAIL_FROM })
      : logMailer();
    const mails = { orders, customers, mailer };
    const sagas = [
      orderMails(mails),
      shipmentMails({ ...mails, shipping: client(ShippingQueryServiceService) }),
      refundMails({ ...mails, payments: client(PaymentQueryServiceService) }),
    ];
    return sagas.map((saga) => createSagaHandler({ saga, aggregates, database, clock, signal }));
  },
});
