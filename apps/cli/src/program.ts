/** All subcommands, one file each in commands/, and their exit codes. */

import { inspect } from 'node:util';
import { ConfigError } from '@caudal/config/config.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { withoutSecrets } from '@caudal/kernel/redact.ts';
import { version } from '@caudal/server/version.ts';
import { Command, CommanderError } from 'commander';
import { auditCommand } from './commands/audit.ts';
import { buildCommand } from './commands/build.ts';
import { configCommand } from './commands/config.ts';
import { deadLettersCommand } from './commands/dead-letters.ts';
import { demoCommand } from './commands/demo.ts';
import { importCommand } from './commands/import.ts';
import { jobsCommand } from './commands/jobs.ts';
import { keysCommand } from './commands/keys.ts';
import { logCommand } from './commands/log.ts';
import { migrateCommand } from './commands/migrate.ts';
import { rebuildCommand } from './commands/rebuild.ts';
import { replayCommand } from './commands/replay.ts';
import { startCommand } from './commands/start.ts';
import { tokenCommand } from './commands/token.ts';
import { trackingCommand } from './commands/tracking.ts';
import { verifyCommand } from './commands/verify.ts';
import { viewsCommand } from './commands/views.ts';
import { UsageError } from './usage.ts';

const program = new Command('caudal')
  .description('An order-to-delivery backend. Settings come from the environment: "caudal config" shows them.')
  .version(version)
  .addCommand(startCommand())
  .addCommand(migrateCommand())
  .addCommand(logCommand())
  .addCommand(replayCommand())
  .addCommand(buildCommand())
  .addCommand(rebuildCommand())
  .addCommand(verifyCommand())
  .addCommand(viewsCommand())
  .addCommand(deadLettersCommand())
  .addCommand(jobsCommand())
  .addCommand(auditCommand())
  .addCommand(importCommand())
  .addCommand(trackingCommand())
  .addCommand(demoCommand())
  .addCommand(tokenCommand())
  .addCommand(keysCommand())
  .addCommand(configCommand())
  .addHelpText(
    'after',
    '\nResults go to standard output, all else to standard error.\n' +
      'Exit codes: 0 success, 1 the command failed or found a problem, 2 wrong arguments.',
  );

/** If a resource is still open when a command has ended, the process exits after this time. */
const LINGER_MS = 3_000;

/** Runs the command of this process's arguments, and sets the exit code. */
export async function main(): Promise<void> {
  prepare(program);
  process.stdout.on('error', endUnread);
  process.stderr.on('error', () => {}); // standard error is closed: there is nowhere to report it
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = tell(error);
  }
  if (!runsOn()) setTimeout(() => process.exit(), LINGER_MS).unref();
}

let unread = false;

/**
 * The reader of the output may close it: `caudal log show ... | head`. Then end in order, as an embedded server may
 * run.
 */
function endUnread(): void {
  if (unread) return;
  unread = true;
  if (process.listenerCount('SIGTERM') > 0) process.kill(process.pid, 'SIGTERM');
  else process.exit();
}

/** Only `start` continues to run after its command has returned. */
function runsOn(): boolean {
  return process.argv[2] === 'start' && !process.exitCode;
}

/** Makes commander throw errors of usage instead of exiting, since its own exit code for them is 1. */
function prepare(command: Command): void {
  command.exitOverride().showHelpAfterError('(--help shows commands and options)');
  for (const each of command.commands) prepare(each);
}

/** Prints the error, with a stack only for a bug of Caudal. Returns the exit code. */
function tell(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError) {
    console.error(error.message);
    return 2;
  }
  // A driver's error may repeat the URL that it was given.
  console.error(withoutSecrets(textOf(error)));
  return 1;
}

function textOf(error: unknown): string {
  if (error instanceof CaudalError) return withCause(error);
  return error instanceof ConfigError || isExpected(error) ? error.message : inspect(error);
}

/** The message with its cause: "PostgreSQL can't be reached" alone may mean a wrong password or a wrong port. */
function withCause({ message, cause }: CaudalError): string {
  const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : undefined;
  return why ? `${message} (${why})` : message;
}

/** Whether the error is meant for the user: a plain Error without a system code, not a bug. */
function isExpected(error: unknown): error is Error {
  return error instanceof Error && error.name === 'Error' && !('code' in error);
}
