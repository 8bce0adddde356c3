/** The `caudal` command. Each subcommand is a file of cli/. */
import { ConfigError } from '@caudal/config/config.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { Command } from 'commander';
import { demoCommand } from './cli/demo.ts';
import { importCommand } from './cli/import.ts';
import { startCommand } from './cli/start.ts';

const program = new Command('caudal')
  .description('An order-to-delivery backend. Settings come from the environment: "caudal start --print-config".')
  .version('0.1.0')
  .showHelpAfterError('(--help shows what there is)')
  .addCommand(startCommand())
  .addCommand(importCommand())
  .addCommand(demoCommand());

// What went wrong, for people: a stack only where it is our bug.
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof ConfigError || error instanceof CaudalError) console.error(error.message);
  else console.error(error);
  process.exitCode = 1;
}
