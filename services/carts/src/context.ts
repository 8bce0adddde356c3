/** The carts context: its settings, tables, services, saga and jobs. */
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { CatalogQueryServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { cartService } from './commands/cart-service.ts';
import { guestCartService } from './commands/guest-cart-service.ts';
import { cartDecider } from './domain/cart-history.ts';
import { erasureDecider } from './domain/erasure.ts';
import { expireCarts, findAbandoned, settleCheckouts } from './jobs/keep-carts.ts';
import { openProducts } from './prices.ts';
import { cartQueryService } from './queries/cart-query-service.ts';
import { erasures } from './sagas/erasures.ts';
import { settings } from './settings.ts';
import { openCartStore } from './store/cart-store.ts';
import { migrations } from './store/migrations.ts';

export const carts = defineContext({
  name: 'carts',
  settings,
  permissions: [
    'catalog.products.read',
    'customers.customers.read:any',
    'inventory.stock.reserve',
    'orders.orders.place:any',
    'orders.orders.read:any',
    ...logPermissions('customers'),
  ],
  deciders: [cartDecider, erasureDecider],
  tables: { migrations, personal: true },
  commands({ aggregates, client, clock, ids, settings, tables: { database, seals } }) {
    const store = openCartStore({ database, clock });
    const products = openProducts({ catalog: client(CatalogQueryServiceService), clock });
    const common = { store, seals, products, clock, ids, fields: settings.CARTS_FIELDS };
    return [
      cartService({
        ...{ ...common, aggregates },
        holdLimits: { mostPieces: settings.CARTS_RESERVED_PIECES, mostMs: settings.CARTS_RESERVED_FOR },
        customers: client(CustomerQueryServiceService),
        inventory: client(InventoryServiceService),
        orders: client(OrderServiceService),
        orderQueries: client(OrderQueryServiceService),
      }),
      guestCartService(common),
    ];
  },
  queries: ({ client, clock, tables: { database, seals } }) => [
    cartQueryService({
      ...{ store: openCartStore({ database, clock }), seals },
      customers: client(CustomerQueryServiceService),
      products: openProducts({ catalog: client(CatalogQueryServiceService), clock }),
    }),
  ],
  projections: [],
  jobs: [findAbandoned, expireCarts, settleCheckouts],
  sagas: ({ aggregates, database, clock, signal }) => [
    createSagaHandler({ saga: erasures({ database }), aggregates, database, clock, signal }),
  ],
});
