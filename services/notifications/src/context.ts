/** The notifications context: its settings and sagas. */
import { setting } from '@caudal/config/setting.ts';
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { CartQueryServiceService } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ShippingQueryServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { notificationDecider } from './domain/notification.ts';
import { recipientDecider } from './domain/recipient.ts';
import { logMailer, smtpMailer } from './mailer.ts';
import { cartMails } from './sagas/cart-mails.ts';
import { orderMails } from './sagas/order-mails.ts';
import { refundMails } from './sagas/refund-mails.ts';
import { shipmentMails } from './sagas/shipment-mails.ts';
import { verificationMails } from './sagas/verification-mails.ts';
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
    NOTIFICATIONS_MAILS_PER_HOUR: setting.int({
      description: 'The most mails that a customer gets within an hour. More wait, for a day at most.',
      default: '60',
      min: 1,
      max: 1_000,
    }),
    NOTIFICATIONS_UNVERIFIED_ADDRESSES: setting.boolean({
      description: 'Whether mails also go to addresses that were not verified, except about orders of nothing.',
      default: 'false',
    }),
  },
  permissions: [
    'carts.carts.read:any',
    'customers.customers.read:any',
    'customers.emails.read_codes',
    'orders.orders.read:any',
    'payments.payments.read:any',
    'shipping.shipments.read:any',
    ...logPermissions('carts', 'customers', 'orders', 'payments', 'shipping'),
  ],
  deciders: [notificationDecider, recipientDecider],
  commands: () => [],
  queries: () => [],
  projections: [],
  sagas: ({ aggregates, client, database, clock, signal, settings, development }) => {
    const orders = client(OrderQueryServiceService);
    const customers = client(CustomerQueryServiceService);
    const mailer = settings.NOTIFICATIONS_MAIL_URL
      ? smtpMailer({ url: settings.NOTIFICATIONS_MAIL_URL, from: settings.NOTIFICATIONS_MAIL_FROM })
      : logMailer({ development });
    const post = {
      mailer,
      aggregates,
      mailsPerHour: settings.NOTIFICATIONS_MAILS_PER_HOUR,
      unverifiedAddresses: settings.NOTIFICATIONS_UNVERIFIED_ADDRESSES,
    };
    const mails = { orders, customers, ...post };
    const sagas = [
      orderMails(mails),
      shipmentMails({ ...mails, shipping: client(ShippingQueryServiceService) }),
      refundMails({ ...mails, payments: client(PaymentQueryServiceService) }),
      verificationMails({ customers, ...post }),
      cartMails({ carts: client(CartQueryServiceService), customers, ...post }),
    ];
    return sagas.map((saga) => createSagaHandler({ saga, aggregates, database, clock, signal }));
  },
});
