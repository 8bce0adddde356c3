/** `caudal start`: a process with the configured roles; without settings all roles, on an embedded PostgreSQL. */
import { loadConfig } from '@caudal/config/config.ts';
import { createLifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { endWithProcess } from '@caudal/lifecycle/process.ts';
import { prefixes, type RuntimeValues, settings } from '@caudal/server/settings/settings.ts';
import { startChecks } from '@caudal/server/settings/start-checks.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { Command } from 'commander';
import { welcome } from '../welcome.ts';
import { showConfig } from './config.ts';

const log = logger('start');

export function startCommand(): Command {
  return new Command('start')
    .description('run the system, or the part of it that CAUDAL_ROLES and CAUDAL_CONTEXTS name')
    .option('--print-config', 'show every setting and its source, and start nothing')
    .option('--json', 'with --print-config: as one JSON object')
    .addHelpText(
      'after',
      `
Without DATABASE_URL it starts a PostgreSQL of its own, with its data in CAUDAL_DATA_DIR. Any other database must be migrated
first: "caudal migrate".
SIGTERM, SIGHUP and Ctrl-C end it in order, with exit code 0.

Example: CAUDAL_ROLES=projector CAUDAL_CONTEXTS=orders caudal start`,
    )
    .action(async ({ printConfig: print, json }: { printConfig?: boolean; json?: boolean }) => {
      if (print) {
        showConfig({ json });
        return;
      }
      await run();
    });
}

async function run(): Promise<void> {
  const values = loadConfig(settings, {
    warn: (message) => log.warn(message),
    checks: startChecks,
    prefixes,
  }) as RuntimeValues;
  const lifecycle = createLifecycle({ graceMs: values.CAUDAL_SHUTDOWN_GRACE });
  endWithProcess(lifecycle);
  // Loaded here: half of these modules are needed by no other command.
  const { start } = await import('@caudal/server/start.ts');
  const started = await start(values, lifecycle);
  if (!values.DATABASE_URL) console.log(await welcome(started));
}
