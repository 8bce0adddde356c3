/** The catalog context: its services and projections. */
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { catalogService } from './commands/catalog-service.ts';
import { productDecider } from './domain/product.ts';
import { productSearch } from './projections/product-search.ts';
import { catalogQueryService } from './queries/catalog-query-service.ts';

export const catalog = defineContext({
  name: 'catalog',
  settings: {},
  permissions: logPermissions('inventory'),
  deciders: [productDecider],
  commands: ({ aggregates }) => [catalogService({ aggregates })],
  queries: ({ search, interest }) => [
    catalogQueryService({ products: search(productSearch), interest: interest('products') }),
  ],
  projections: [{ projection: productSearch, store: 'search' }],
  sagas: () => [],
});
