/** Starts a process: its stores, its listeners and its roles. */

import { domainOf } from '@caudal/contract/entity.ts';
import { presentOf } from '@caudal/eventlog/epochs.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { createLifecycle, type Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import type { Credentials } from '@caudal/rpc/server/credentials.ts';
import { type RunningServer, startServer } from '@caudal/rpc/server/server.ts';
import { startTelemetry } from '@caudal/telemetry/start.ts';
import { type App, openApp } from './app.ts';
import { awaitIdentity, credentialsOf } from './credentials.ts';
import { checkRights } from './database-rights.ts';
import { configuredUrls, type DatabaseUrls } from './database-urls.ts';
import { type Identity, openIdentity } from './identity.ts';
import { openLimits } from './limits.ts';
import { assertKeysKnown } from './personal-data.ts';
import { addCommands } from './roles/command.ts';
import { startJobs } from './roles/jobs.ts';
import { startProjectors } from './roles/projector.ts';
import { addQueries } from './roles/query.ts';
import { startRelays } from './roles/relay.ts';
import { startSagas } from './roles/saga.ts';
import { startWorkers } from './roles/worker.ts';
import { awaitMigrated, contextsOf } from './schema.ts';
import { atPorts } from './settings/listen-errors.ts';
import { type RuntimeValues, settings } from './settings/settings.ts';
import { webhookSecrets } from './settings/webhook-secrets.ts';
import { startEmbedded } from './start-embedded.ts';
import { trustConfigured } from './tls.ts';
import { useTokenKeys } from './token-keys.ts';
import { version } from './version.ts';

const DATABASE_WAIT_MS = 60_000;

export interface Started {
  lifecycle: Lifecycle;
  server: RunningServer;
  identity: Identity;
  app: App;
}

/** The URLs of PostgreSQL: the configured server, or an embedded one that ends with the process. */
export async function openDatabaseServer(values: RuntimeValues, lifecycle: Lifecycle): Promise<DatabaseUrls> {
  if (values.DATABASE_URL || values.CAUDAL_OWNER_DATABASE_URL) {
    const urls = configuredUrls(values);
    await awaitMigrated({
      url: urls.url,
      contexts: contextsOf(values),
      waitMs: DATABASE_WAIT_MS,
      signal: lifecycle.ending,
    });
    return urls;
  }
  return startEmbedded(values, lifecycle);
}

/**
 * Starts the roles and contexts of `values`. After an error, all parts that have started are stopped again. The
 * listeners open first, so /livez answers while the process waits for a store; /readyz is 200 once everything runs.
 * Consumers start before the relay, and the process is ready once their queues are bound: no event is published past them.
 */
export async function start(values: RuntimeValues, lifecycle = createLifecycle()): Promise<Started> {
  try {
    trustConfigured(values);
    const telemetry = await startTelemetry({
      serviceName: 'caudal',
      serviceVersion: version,
      role: values.CAUDAL_ROLES.join(','),
      prometheus:
        values.CAUDAL_METRICS_PORT === undefined
          ? undefined
          : { host: values.CAUDAL_HOST, port: values.CAUDAL_METRICS_PORT },
      otlpEndpoint: values.CAUDAL_OTLP_ENDPOINT,
      sampling: values.CAUDAL_TRACE_SAMPLING,
    }).catch(atPorts(values));
    lifecycle.onStop('telemetry', () => telemetry.stop());
    const urls = await openDatabaseServer(values, lifecycle);
    let credentials: Credentials | undefined;
    const keyDirectory = values.DATABASE_URL ? undefined : values.CAUDAL_DATA_DIR;
    const identity = await openIdentity(values, keyDirectory, () => credentials);
    await useTokenKeys(values);
    // One process owns an embedded database. With a fixed name it takes over its own leases at once after a crash.
    const holder = values.DATABASE_URL ? newId() : 'embedded';
    const name = `caudal-${values.CAUDAL_ROLES.join('-')}`.slice(0, 60);
    const app = await openApp({ values, urls, identity, lifecycle, holder, name });
    await assertKeysKnown(values, app.locals);
    if (values.DATABASE_URL) await checkRights(values, app.locals);

    if (app.has('command')) addCommands(app);
    if (app.has('query')) addQueries(app);
    // Only processes that serve calls check callers.
    if (app.services.length > 0 && identity.auth !== 'off') {
      if (values.CAUDAL_CREDENTIALS !== 'off') credentials = credentialsOf(app);
      awaitIdentity(app, credentials);
    }
    const server = await openListeners(app);
    try {
      if (app.has('projector')) await startProjectors(app);
      if (app.has('saga')) await startSagas(app);
      if (app.has('relay')) startRelays(app);
      if (app.has('jobs')) startJobs(app);
      if (app.has('worker')) startWorkers(app);
    } finally {
      // Registered last, so the listeners are closed first.
      lifecycle.onStop('server', () => server.stop(), { timeoutMs: 20_000 });
    }
    lifecycle.started();
    server.setReady(true);
    lifecycle.ending.addEventListener('abort', () => server.setReady(false), { once: true });
    return { lifecycle, server, identity, app };
  } catch (error) {
    await lifecycle.stop('it could not start');
    throw error;
  }
}

/** Every process answers /livez and /readyz; only processes with services have a REST port. */
async function openListeners(app: App): Promise<RunningServer> {
  const { values, identity, services, forwarding, audit, lifecycle, locals, tls } = app;
  const host = values.CAUDAL_HOST;
  return startServer({
    services,
    auth: identity.auth,
    forwarding,
    audit,
    epochOf: (stream) => {
      const local = locals.find(({ context }) => context.name === domainOf(stream));
      return presentOf(local?.log.epochs?.() ?? []).number;
    },
    webhookSecrets: webhookSecrets({ services, settings, values, development: !values.DATABASE_URL }),
    grpc: { host, port: values.CAUDAL_GRPC_PORT },
    rest:
      services.length > 0
        ? {
            ...{ host, port: values.CAUDAL_REST_PORT, cors: corsOf(values), docs: values.CAUDAL_DOCS },
            hstsSeconds: Math.floor(values.CAUDAL_HSTS / 1000),
          }
        : undefined,
    tls: tls.ports,
    ...openLimits(values, lifecycle),
    reflection: values.CAUDAL_REFLECTION,
    live: () => lifecycle.isLive(),
    ready: () => lifecycle.isReady(),
    ending: lifecycle.ending,
  }).catch(atPorts(values));
}

function corsOf({ CAUDAL_CORS_ORIGINS: origins, CAUDAL_CORS_MAX_AGE: maxAge }: RuntimeValues) {
  return origins && { origins, maxAgeSeconds: Math.floor(maxAge / 1000) };
}
