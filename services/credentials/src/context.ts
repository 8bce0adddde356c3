/** The credentials context: its services and its projection. */
import { defineContext } from '@caudal/context/context.ts';
import { credentialCheckService } from './commands/check-service.ts';
import { credentialService } from './commands/credential-service.ts';
import { apiKeyDecider } from './domain/api-key.ts';
import { revocationDecider } from './domain/revocations.ts';
import { apiKeys } from './projections/api-keys.ts';
import { credentialQueryService } from './queries/credential-query-service.ts';

export const credentials = defineContext({
  name: 'credentials',
  settings: {},
  permissions: [],
  deciders: [apiKeyDecider, revocationDecider],
  commands: ({ aggregates, ids, clock }) => [
    credentialService({ aggregates, ids }),
    credentialCheckService({ aggregates, clock }),
  ],
  queries: ({ aggregates, views, clock }) => [credentialQueryService({ aggregates, views: views(apiKeys), clock })],
  projections: [{ projection: apiKeys, store: 'documents' }],
  sagas: () => [],
});
