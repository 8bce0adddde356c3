/** `caudal start`: a process with the roles of the settings; without settings all of them, on an embedded PostgreSQL. */
import { loadConfig } from '@caudal/config/config.ts';
import { createLifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { endWithProcess } from '@caudal/lifecycle/process.ts';
import { type RuntimeValues, settings } from '@caudal/server/settings/settings.ts';
import { startChecks } from '@caudal/server/settings/start-checks.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { Command } from 'commander';
import { welcome } from '../welcome.ts';
import { showConfig } from './config.ts';

const log = logger('start');

export function startCommand(): Command {
  return new Command('start')
    .description('run the system, or the part of it that CAUDAL_ROLES and CAUDAL_CONTEXTS name')
    .option('--print-config', 'show every setting and where it comes from, and start nothing')
    .option('--json', 'with --print-config: as one JSON object')
    .addHelpText(
      'after',
      `
Without DATABASE_URL it starts a PostgreSQL of its own, over CAUDAL_DATA_DIR. A database that is given is migrated before: "caudal migrate".
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
  const values = loadConfig(settings, { warn: (message) => log.warn(message), checks: startChecks }) as RuntimeValues;
  const lifecycle = createLifecycle({ graceMs: values.CAUDAL_SHUTDOWN_GRACE });
  endWithProcess(lifecycle);
  // Loaded here, since half of all that it needs no other command does.
  const { start } = await import('@caudal/server/start.ts');
  const started = await start(values, lifecycle);
  if (!values.DATABASE_URL) console.log(await welcome(started));
}
