/** The shipping context: its services. */
import { defineContext } from '@caudal/context/context.ts';
import { shippingService } from './commands/shipping-service.ts';
import { shipmentDecider } from './domain/shipment.ts';
import { shippingQueryService } from './queries/shipping-query-service.ts';

export const shipping = defineContext({
  name: 'shipping',
  settings: {},
  permissions: [],
  deciders: [shipmentDecider],
  commands: ({ aggregates }) => [shippingService({ aggregates })],
  queries: ({ aggregates }) => [shippingQueryService({ aggregates })],
  projections: [],
  sagas: () => [],
});
