/** The shipping context: its services and its projection. */
import { defineContext } from '@caudal/context/context.ts';
import { shippingService } from './commands/shipping-service.ts';
import { shipmentDecider } from './domain/shipment.ts';
import { shipments } from './projections/shipments.ts';
import { shippingQueryService } from './queries/shipping-query-service.ts';

export const shipping = defineContext({
  name: 'shipping',
  settings: {},
  permissions: [],
  deciders: [shipmentDecider],
  commands: ({ aggregates }) => [shippingService({ aggregates })],
  queries: ({ aggregates, views }) => [shippingQueryService({ aggregates, views: views(shipments) })],
  projections: [{ projection: shipments, store: 'documents' }],
  sagas: () => [],
});
