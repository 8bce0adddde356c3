/** Starts a process: its stores, its listeners and its roles. */

import { domainOf } from '@caudal/contract/entity.ts';
import { holdEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { presentOf } from '@caudal/eventlog/epochs.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { createLifecycle, type Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { type RunningServer, startServer } from '@caudal/rpc/server/server.ts';
import { startTelemetry } from '@caudal/telemetry/start.ts';
import { type App, openApp } from './app.ts';
import { contexts } from './contexts.ts';
import { migrateContexts } from './handlers/saga-starts.ts';
import { type Identity, openIdentity } from './identity.ts';
import { openLimits } from './limits.ts';
import { addCommands } from './roles/command.ts';
import { startJobs } from './roles/jobs.ts';
import { startProjectors } from './roles/projector.ts';
import { addQueries } from './roles/query.ts';
import { startRelays } from './roles/relay.ts';
import { startSagas } from './roles/saga.ts';
import { awaitMigrated, contextsOf } from './schema.ts';
import { atPorts } from './settings/listen-errors.ts';
import { type RuntimeValues, settings } from './settings/settings.ts';
import { webhookSecrets } from './settings/webhook-secrets.ts';
import { version } from './version.ts';

const DATABASE_WAIT_MS = 60_000;

export interface Started {
  lifecycle: Lifecycle;
  server: RunningServer;
  identity: Identity;
  app: App;
  databaseUrl: string;
}

/** The URL of PostgreSQL: the configured server, or an embedded one that ends with the process. */
export async function openDatabaseServer(values: RuntimeValues, lifecycle: Lifecycle): Promise<string> {
  if (values.DATABASE_URL) {
    await awaitMigrated({
      url: values.DATABASE_URL,
      contexts: contextsOf(values),
      waitMs: DATABASE_WAIT_MS,
      signal: lifecycle.ending,
    });
    return values.DATABASE_URL;
  }
  const postgres = await holdEmbeddedPostgres(values.CAUDAL_DATA_DIR, lifecycle);
  await migrateContexts(postgres.url, contexts, values);
  return postgres.url;
}

/**
 * Starts the roles and contexts of `values`. After an error, all parts that have started are stopped again. The
 * listeners open first, so /livez answers while the process waits for a store; /readyz is 200 once everything runs.
 * Consumers start before the relay, and the process is ready once their queues are bound: no event is published past them.
 */
export async function start(values: RuntimeValues, lifecycle = createLifecycle()): Promise<Started> {
  try {
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
    const databaseUrl = await openDatabaseServer(values, lifecycle);
    const identity = await openIdentity(values, values.DATABASE_URL ? undefined : values.CAUDAL_DATA_DIR);
    // One process owns an embedded database. With a fixed name it takes over its own leases at once after a crash.
    const holder = values.DATABASE_URL ? newId() : 'embedded';
    const name = `caudal-${values.CAUDAL_ROLES.join('-')}`.slice(0, 60);
    const app = await openApp({ values, databaseUrl, identity, lifecycle, holder, name });

    if (app.has('command')) addCommands(app);
    if (app.has('query')) addQueries(app);
    const server = await openListeners(app);
    try {
      if (app.has('projector')) await startProjectors(app);
      if (app.has('saga')) await startSagas(app);
      if (app.has('relay')) startRelays(app);
      if (app.has('jobs')) startJobs(app);
    } finally {
      // Registered last, so the listeners are closed first.
      lifecycle.onStop('server', () => server.stop(), { timeoutMs: 20_000 });
    }
    lifecycle.started();
    server.setReady(true);
    lifecycle.ending.addEventListener('abort', () => server.setReady(false), { once: true });
    return { lifecycle, server, identity, app, databaseUrl };
  } catch (error) {
    await lifecycle.stop('it could not start');
    throw error;
  }
}

/** Every process answers /livez and /readyz; only processes with services have a REST port. */
async function openListeners(app: App): Promise<RunningServer> {
  const { values, identity, services, forwarding, lifecycle, locals } = app;
  const host = values.CAUDAL_HOST;
  return startServer({
    services,
    auth: identity.auth,
    forwarding,
    epochOf: (stream) => {
      const local = locals.find(({ context }) => context.name === domainOf(stream));
      return presentOf(local?.log.epochs?.() ?? []).number;
    },
    webhookSecrets: webhookSecrets({ services, settings, values, development: !values.DATABASE_URL }),
    grpc: { host, port: values.CAUDAL_GRPC_PORT },
    rest: services.length > 0 ? { host, port: values.CAUDAL_REST_PORT, cors: corsOf(values) } : undefined,
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
