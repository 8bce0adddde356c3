/** Which roles use a credential: a deployment gives each process what it uses, and no other. docs/operations/install.md. */
import { protectionsOf } from '@caudal/contract/personal.ts';
import { contexts } from '../contexts.ts';
import type { Role, settings } from './settings.ts';

/** The contexts that keep what is personal. */
export const contextsWithPersonalData: readonly string[] = contexts
  .filter(
    ({ deciders, tables }) => tables?.personal || deciders.some(({ entity }) => protectionsOf(entity.name).size > 0),
  )
  .map(({ name }) => name);

/** The contexts whose commands put work on a queue of the broker, from which their workers take it. */
const contextsWithWorkQueues: readonly string[] = contexts
  .filter(({ workQueues = [] }) => workQueues.length > 0)
  .map(({ name }) => name);

const views: readonly Role[] = ['query', 'projector', 'jobs'];

/** Credentials of contexts that other roles use than the saga. */
type OfContexts = 'TRACKING_CARRIER_SECRETS' | 'TRACKING_CARRIER_KEYS';

/** Credentials that are not here are for all roles; those of a context for its sagas. The e2e tests start processes with no more than this. */
export const rolesOfCredentials = {
  RABBITMQ_URL: ['command', 'relay', 'projector', 'saga', 'worker', 'jobs'],
  RABBITMQ_MANAGEMENT_URL: ['relay'],
  CAUDAL_REPLICA_DATABASE_URL: ['query'],
  MONGODB_URL: views,
  ELASTICSEARCH_URL: views,
  REDIS_URL: ['command', 'query', 'projector'],
  CAUDAL_TOKEN_KEYS: ['command', 'query', 'projector'],
  // Only these roles read or write what is personal.
  CAUDAL_PERSONAL_DATA_KEYS: ['command', 'query', 'saga', 'jobs'],
  TRACKING_CARRIER_SECRETS: ['command'],
  TRACKING_CARRIER_KEYS: ['jobs'],
} satisfies Partial<Record<keyof typeof settings | OfContexts, readonly Role[]>>;

/** Roles that use a credential only in a process with one of these contexts. */
export const contextsOfCredentials: Partial<
  Record<keyof typeof rolesOfCredentials, Partial<Record<Role, readonly string[]>>>
> = {
  RABBITMQ_URL: { command: contextsWithWorkQueues, worker: contextsWithWorkQueues },
};
