/** `caudal demo`: starts the whole system, imports real orders, and reconciles the outcome with the file. */
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { createLifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { generateKey, renewing, type TokenSource } from '@caudal/rpc/server/tokens.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { configuredUrls, migratorOf } from '@caudal/server/database-urls.ts';
import { migrateContexts } from '@caudal/server/handlers/saga-starts.ts';
import type { Identity } from '@caudal/server/identity.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';
import { Command } from 'commander';
import { SUBJECT } from '../import-token.ts';
import { everything } from '../permissions.ts';
import { importFile } from '../run-import.ts';
import { untilSignal } from '../signals.ts';
import { UsageError } from '../usage.ts';
import { loadSettings } from '../with-app.ts';
import { wholeNumber } from './import.ts';

const sample = fileURLToPath(new URL('../../../importer/data/online-retail-sample.csv', import.meta.url));
const TOKEN_SECONDS = 3600;

export function demoCommand(): Command {
  return new Command('demo')
    .description('start the system (embedded, or on the configured stores), import real orders, and reconcile them')
    .argument('[file]', 'another file with the same columns', sample)
    .option('--concurrency <n>', 'orders in flight at the same time', wholeNumber, 64)
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `
Exit code: 0 if everything reconciles, else 1. A second run finds the orders of the first.

Example: caudal demo --concurrency 16`,
    )
    .action(async (file: string, { concurrency, json }: { concurrency: number; json?: boolean }) => {
      const values = loadSettings();
      if (!values.DATABASE_URL) await refuseBeside(values.CAUDAL_DATA_DIR);
      const lifecycle = createLifecycle();
      await untilSignal(lifecycle, async (running) => {
        if (values.DATABASE_URL) {
          refuseUnsealed(values);
          const { url, application } = await migratorOf(configuredUrls(values));
          await migrateContexts(url, contexts, values, application);
        }
        const ports = { CAUDAL_REST_PORT: 0, CAUDAL_GRPC_PORT: 0 };
        const { start } = await import('@caudal/server/start.ts');
        const { server, identity, app } = await start({ ...values, ...ports, ...(await ownKeys(values)) }, lifecycle);
        const options = { file, concurrency, json: json ?? false, signal: lifecycle.ending, tls: app.tls.calls };
        const address = `${values.CAUDAL_HOST}:${server.grpcPort}`;
        const addresses = { command: address, query: address };
        const reconciled = await running(importFile({ ...options, addresses, auth: tokens(values, identity) }));
        process.exitCode = reconciled ? 0 : 1;
      });
    });
}

/** A key for this run only would leave customers that nobody can read. */
function refuseUnsealed(values: RuntimeValues): void {
  if (values.CAUDAL_PERSONAL_DATA_KEYS || values.CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA) return;
  throw new UsageError(
    "CAUDAL_PERSONAL_DATA_KEYS is not set, so personal data in DATABASE_URL can't be sealed: set it, or CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA=true.",
  );
}

/** The demo starts a system of its own, which needs the data directory for itself. */
async function refuseBeside(directory: string): Promise<void> {
  if (!(await joinEmbeddedPostgres(resolve(directory)))) return;
  throw new UsageError(
    `A system runs on ${resolve(directory)}: "bin/caudal import ${relative(process.cwd(), sample)}" does the same with it. Or stop it first.`,
  );
}

/** Tokens that are renewed, since the import may take longer than a token is valid. */
function tokens({ CAUDAL_AUTH }: RuntimeValues, identity: Identity): TokenSource | undefined {
  if (CAUDAL_AUTH === 'off') return undefined;
  return renewing(async () => {
    const token = await identity.sign(SUBJECT, everything(), TOKEN_SECONDS);
    if (token) return token;
    throw new UsageError('There is no key to sign with: set both CAUDAL_SERVICE_KEY and CAUDAL_JWKS, or neither.');
  }, TOKEN_SECONDS);
}

/** Keys for this run only, if none are configured: only the demo calls this system. */
async function ownKeys({ CAUDAL_JWKS, CAUDAL_AUTH }: RuntimeValues): Promise<Partial<RuntimeValues>> {
  if (CAUDAL_JWKS || CAUDAL_AUTH === 'off') return {};
  const { publicKey, privateKey } = await generateKey('demo');
  return { CAUDAL_JWKS: { keys: [publicKey] }, CAUDAL_SERVICE_KEY: privateKey };
}
