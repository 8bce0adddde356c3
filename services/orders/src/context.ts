/** The orders context: its settings, services, projections, gauges and sagas. */
import { setting } from '@caudal/config/setting.ts';
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentServiceService } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { orderService } from './commands/order-service.ts';
import { erasureDecider } from './domain/erasure.ts';
import { fulfilmentDecider } from './domain/fulfilment.ts';
import { orderDecider } from './domain/order.ts';
import { pendingOldest } from './gauges/pending-oldest.ts';
import { returnsAttention } from './gauges/returns-attention.ts';
import { orderDetails } from './projections/order-details.ts';
import { salesByDay } from './projections/sales-by-day.ts';
import { orderQueryService } from './queries/order-query-service.ts';
import { salesQueryService } from './queries/sales-query-service.ts';
import { erasures } from './sagas/erasures.ts';
import { fulfilmentSaga } from './sagas/fulfilment.ts';

export const orders = defineContext({
  name: 'orders',
  settings: {
    ORDERS_RESERVATION_TTL: setting.duration({
      description: 'How long pieces are held for an order that is not paid yet.',
      default: '15m',
      min: 1000,
      max: 7 * 24 * 3600_000,
    }),
    ORDERS_PAYMENT_TIMEOUT: setting.duration({
      description: "How long an order waits for its payment's outcome before it is undone.",
      default: '10m',
      min: 1000,
    }),
  },
  permissions: [
    'catalog.products.price',
    'customers.customers.read:any',
    'inventory.stock.reserve',
    'orders.orders.read:any',
    'payments.payments.write',
    'shipping.shipments.create',
    ...logPermissions('customers', 'payments', 'shipping'),
  ],
  deciders: [orderDecider, fulfilmentDecider, erasureDecider],
  commands: ({ aggregates, client, clock, ids, openTexts }) => [
    orderService({
      aggregates,
      clock,
      ids,
      openTexts,
      catalog: client(CatalogServiceService),
      customers: client(CustomerQueryServiceService),
      queries: client(OrderQueryServiceService),
    }),
  ],
  queries: ({ views, openTexts }) => [
    orderQueryService({ views: views(orderDetails), openTexts }),
    salesQueryService({ views: views(salesByDay) }),
  ],
  projections: [
    { projection: orderDetails, store: 'documents' },
    { projection: salesByDay, store: 'documents' },
  ],
  gauges: [pendingOldest, returnsAttention],
  sagas: ({ aggregates, client, database, clock, signal, settings }) => [
    createSagaHandler({
      saga: fulfilmentSaga({
        aggregates,
        inventory: client(InventoryServiceService),
        payments: client(PaymentServiceService),
        shipping: client(ShippingServiceService),
        reservationMs: settings.ORDERS_RESERVATION_TTL,
        paymentMs: settings.ORDERS_PAYMENT_TIMEOUT,
      }),
      aggregates,
      database,
      clock,
      signal,
    }),
    createSagaHandler({ saga: erasures, aggregates, database, clock, signal }),
  ],
});
