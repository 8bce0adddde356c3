/** Opens an app without roles for one command: the contexts, logs and stores of the settings. */
import { resolve } from 'node:path';
import { loadConfig } from '@caudal/config/config.ts';
import {
  hasEmbeddedPostgres,
  holdEmbeddedPostgres,
  joinEmbeddedPostgres,
} from '@caudal/embedded-postgres/embedded-postgres.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { createLifecycle, type Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { type App, openApp } from '@caudal/server/app.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { migrateContexts } from '@caudal/server/handlers/saga-starts.ts';
import { openIdentity } from '@caudal/server/identity.ts';
import { awaitMigrated, contextsOf } from '@caudal/server/schema.ts';
import { prefixes, type RuntimeValues, settings } from '@caudal/server/settings/settings.ts';
import { trustConfigured } from '@caudal/server/tls.ts';
import { untilSignal } from './signals.ts';
import { UsageError } from './usage.ts';

/** The settings, whose trusted authorities count from now on. Throws ConfigError. */
export function loadSettings(): RuntimeValues {
  const values = loadConfig(settings, { prefixes, warn: (message) => console.error(message) }) as RuntimeValues;
  trustConfigured(values);
  return values;
}

/**
 * Runs `work` with an app of the settings, and closes it afterwards. A signal ends the lifecycle, which `work` must
 * observe, and then the process.
 */
export async function withApp<T>(work: (system: App) => Promise<T>): Promise<T> {
  const values = loadSettings();
  const lifecycle = createLifecycle();
  return untilSignal(lifecycle, async (running) => {
    const databaseUrl = await findDatabase(values, lifecycle);
    // A command serves no calls, so it checks no tokens. It may need tokens for its own calls.
    const identity = await openIdentity({ ...values, CAUDAL_AUTH: 'off' }, undefined);
    const system = await openApp({
      values,
      databaseUrl,
      identity,
      lifecycle,
      holder: newId(),
      name: 'caudal-cli',
    });
    return running(work(system));
  });
}

/**
 * The URL of PostgreSQL: the configured server, or the embedded one. If a process runs on the data directory, its
 * server is used; else one is started for this command.
 */
async function findDatabase(values: RuntimeValues, lifecycle: Lifecycle): Promise<string> {
  const directory = resolve(values.CAUDAL_DATA_DIR);
  const url = values.DATABASE_URL ?? (await joinEmbeddedPostgres(directory))?.url;
  if (url) {
    if (!values.DATABASE_URL) console.error(`Using the embedded PostgreSQL of ${directory}.`);
    await awaitMigrated({ url, contexts: contextsOf(values), waitMs: 0, signal: lifecycle.ending });
    return url;
  }
  if (!hasEmbeddedPostgres(directory)) {
    throw new UsageError(
      `There is no data in ${directory} yet: "caudal start" creates it. Or set CAUDAL_DATA_DIR to the folder that has the data, or DATABASE_URL to a server.`,
    );
  }
  console.error(`Starting the embedded PostgreSQL of ${directory}.`);
  const postgres = await holdEmbeddedPostgres(directory, lifecycle);
  await migrateContexts(postgres.url, contexts, values);
  return postgres.url;
}
