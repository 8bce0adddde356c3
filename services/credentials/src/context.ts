/** The credentials context: its services, its projection and its saga. */
import { defineContext } from '@caudal/context/context.ts';
import { logPermissions } from '@caudal/context/log-permissions.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { credentialCheckService } from './commands/check-service.ts';
import { credentialService } from './commands/credential-service.ts';
import { apiKeyDecider } from './domain/api-key.ts';
import { keyOwnerDecider } from './domain/key-owner.ts';
import { ownerErasureDecider } from './domain/owner-erasure.ts';
import { revocationDecider } from './domain/revocations.ts';
import { apiKeys } from './projections/api-keys.ts';
import { credentialQueryService } from './queries/credential-query-service.ts';
import { keyErasures } from './sagas/key-erasures.ts';

export const credentials = defineContext({
  name: 'credentials',
  settings: {},
  permissions: logPermissions('customers'),
  deciders: [apiKeyDecider, keyOwnerDecider, revocationDecider, ownerErasureDecider],
  commands: ({ aggregates, ids, clock }) => [
    credentialService({ aggregates, ids, clock }),
    credentialCheckService({ aggregates, clock }),
  ],
  queries: ({ aggregates, views, clock }) => [credentialQueryService({ aggregates, views: views(apiKeys), clock })],
  projections: [{ projection: apiKeys, store: 'documents' }],
  sagas: ({ aggregates, database, clock, signal, tokenLifetimeMs }) => [
    createSagaHandler({
      saga: keyErasures({ aggregates, tokenLifetimeMs }),
      ...{ aggregates, database, clock, signal },
    }),
  ],
});
