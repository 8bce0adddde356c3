/** `caudal config`, and `caudal start --print-config`: the settings in effect. */
import { checkConfig } from '@caudal/config/config.ts';
import { printConfig } from '@caudal/config/print.ts';
import { prefixes, settings } from '@caudal/server/settings/settings.ts';
import { startChecks } from '@caudal/server/settings/start-checks.ts';
import { Command } from 'commander';
import { say } from '../output.ts';

export function configCommand(): Command {
  return new Command('config')
    .description('show every setting, its source, and its problem, if any')
    .option('--json', 'print it as one JSON object')
    .addHelpText(
      'after',
      '\nExit code 1 if a setting is wrong, or if "caudal start" would refuse their combination. Secrets are not shown.\n\nExample: caudal config',
    )
    .action(showConfig);
}

export function showConfig({ json }: { json?: boolean }): void {
  const checked = checkConfig(settings, process.env, { checks: startChecks, prefixes });
  say(printConfig(checked, { json }).trimEnd());
  process.exitCode = checked.problems.length > 0 ? 1 : 0;
}
