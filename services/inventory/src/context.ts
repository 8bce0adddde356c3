/** The inventory context: its services, projections and sagas. */
import { defineContext } from '@caudal/context/context.ts';
import { inventoryService } from './commands/inventory-service.ts';
import { stockDecider } from './domain/stock.ts';
import { stockDashboard } from './projections/stock-dashboard.ts';
import { inventoryQueryService } from './queries/inventory-query-service.ts';
import { reservationExpiry } from './sagas/reservation-expiry.ts';

export const inventory = defineContext({
  name: 'inventory',
  settings: {},
  permissions: [],
  deciders: [stockDecider],
  commands: ({ aggregates, clock }) => [inventoryService({ aggregates, clock })],
  queries: ({ views }) => [inventoryQueryService({ views: views(stockDashboard) })],
  projections: [{ projection: stockDashboard, store: 'documents', cache: { strategy: 'refresh-ahead', ms: 10_000 } }],
  sagas: ({ aggregates, database, clock, signal }) => [reservationExpiry({ aggregates, database, clock, signal })],
});
