/** The customers context: its services. */
import { defineContext } from '@caudal/context/context.ts';
import { customerService } from './commands/customer-service.ts';
import { customerDecider } from './domain/customer.ts';
import { customerQueryService } from './queries/customer-query-service.ts';

export const customers = defineContext({
  name: 'customers',
  settings: {},
  permissions: [],
  deciders: [customerDecider],
  commands: ({ aggregates, ids }) => [customerService({ aggregates, ids })],
  queries: ({ aggregates, sealed }) => [customerQueryService({ aggregates, sealed })],
  projections: [],
  sagas: () => [],
});
