/** Opens a process without roles for the time of one command: the contexts, logs and stores of the settings. */
import { constants } from 'node:os';
import { loadConfig } from '@caudal/config/config.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { createLifecycle, type Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { contexts } from '../contexts.ts';
import { hasEmbeddedPostgres, joinEmbeddedPostgres, startEmbeddedPostgres } from '../embedded-postgres.ts';
import { openIdentity } from '../identity.ts';
import { migrateContext } from '../local-context.ts';
import { openProcess, type Process } from '../process.ts';
import { awaitMigrated, contextsOf } from '../schema.ts';
import { type RuntimeValues, settings } from '../settings.ts';
import { UsageError } from './usage.ts';

/** Ended by a signal, a command has this long to put away what it has in hand. */
const END_MS = 15_000;

/** The settings. Throws ConfigError. */
export function loadSettings(): RuntimeValues {
  return loadConfig(settings, { warn: (message) => console.error(message) }) as RuntimeValues;
}

/**
 * Runs `work` over the system that the settings describe, and closes all of it again. SIGINT and SIGTERM end the
 * lifecycle, which `work` should heed, and then the process, with 128 + the signal's number.
 */
export async function withProcess<T>(work: (system: Process) => Promise<T>): Promise<T> {
  const values = loadSettings();
  const lifecycle = createLifecycle();
  const ignore = endBySignals(lifecycle);
  try {
    const databaseUrl = await findDatabase(values, lifecycle);
    // Nobody calls a command, so there are no tokens to check; it may need some for calls of its own.
    const identity = await openIdentity({ ...values, CAUDAL_AUTH: 'off' }, undefined);
    const system = await openProcess({
      values,
      databaseUrl,
      identity,
      lifecycle,
      holder: newId(),
      name: 'caudal-cli',
    });
    const running = work(system);
    const over = () => {};
    // The last to be registered is the first to be waited for: what it uses is closed after it.
    lifecycle.onStop('command', () => running.then(over, over), { timeoutMs: END_MS });
    return await running;
  } finally {
    await lifecycle.stop('the command is over');
    ignore();
  }
}

function endBySignals(lifecycle: Lifecycle): () => void {
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => {
    const listener = () => {
      const exit = () => process.exit(128 + constants.signals[signal]);
      // The second one ends it at once.
      if (lifecycle.ending.aborted) exit();
      void lifecycle.stop(signal).then(exit);
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    for (const off of listeners) off();
  };
}

/**
 * The configured server, or the embedded one: that of the process which runs on the data directory, else one that is
 * started for the time of the command.
 */
async function findDatabase(values: RuntimeValues, lifecycle: Lifecycle): Promise<string> {
  const directory = values.CAUDAL_DATA_DIR;
  const url = values.DATABASE_URL ?? (await joinEmbeddedPostgres(directory))?.url;
  if (url) {
    await awaitMigrated({ url, contexts: contextsOf(values), waitMs: 0, signal: lifecycle.ending });
    return url;
  }
  if (!hasEmbeddedPostgres(directory)) {
    throw new UsageError(
      `There is no data in ${directory} yet: "caudal start" makes it. Or set CAUDAL_DATA_DIR to where it is, or DATABASE_URL to a server.`,
    );
  }
  console.error(`Starting the embedded PostgreSQL of ${directory}.`);
  const postgres = await startEmbeddedPostgres(directory);
  lifecycle.onStop('embedded PostgreSQL', () => postgres.stop(), { timeoutMs: 60_000 });
  for (const context of contexts) await migrateContext(postgres.url, context);
  return postgres.url;
}
