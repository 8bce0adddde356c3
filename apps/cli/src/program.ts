/** All subcommands, each a file beside this one; and how every one of them ends. */
import { ConfigError } from '@caudal/config/config.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { Command, CommanderError } from 'commander';
import { buildCommand } from './commands/build.ts';
import { configCommand } from './commands/config.ts';
import { deadLettersCommand } from './commands/dead-letters.ts';
import { demoCommand } from './commands/demo.ts';
import { importCommand } from './commands/import.ts';
import { keysCommand } from './commands/keys.ts';
import { logCommand } from './commands/log.ts';
import { migrateCommand } from './commands/migrate.ts';
import { rebuildCommand } from './commands/rebuild.ts';
import { replayCommand } from './commands/replay.ts';
import { startCommand } from './commands/start.ts';
import { tokenCommand } from './commands/token.ts';
import { verifyCommand } from './commands/verify.ts';
import { viewsCommand } from './commands/views.ts';
import { UsageError } from './usage.ts';

const program = new Command('caudal')
  .description('An order-to-delivery backend. Settings come from the environment: "caudal config" shows them.')
  .version('0.1.0')
  .addCommand(startCommand())
  .addCommand(migrateCommand())
  .addCommand(logCommand())
  .addCommand(replayCommand())
  .addCommand(buildCommand())
  .addCommand(rebuildCommand())
  .addCommand(verifyCommand())
  .addCommand(viewsCommand())
  .addCommand(deadLettersCommand())
  .addCommand(importCommand())
  .addCommand(demoCommand())
  .addCommand(tokenCommand())
  .addCommand(keysCommand())
  .addCommand(configCommand())
  .addHelpText(
    'after',
    '\nResults go to standard output, all else to standard error.\n' +
      'Exit codes: 0 all is well, 1 something is wrong or could not be done, 2 it was called wrongly.',
  );

/** Something that is still open after a command has ended must not keep the process for longer than this. */
const LINGER_MS = 3_000;

/** Runs the command of this process's arguments, and sets the exit code. */
export async function main(): Promise<void> {
  prepare(program);
  process.stdout.on('error', endUnread);
  process.stderr.on('error', () => {}); // with nobody to read it there is nobody to tell
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = tell(error);
  }
  if (!runsOn()) setTimeout(() => process.exit(), LINGER_MS).unref();
}

let unread = false;

/** Whoever reads the output may stop reading: `caudal log show ... | head`. There may be a server of ours to end. */
function endUnread(): void {
  if (unread) return;
  unread = true;
  if (process.listenerCount('SIGTERM') > 0) process.kill(process.pid, 'SIGTERM');
  else process.exit();
}

/** Only `start` goes on after its command has returned. */
function runsOn(): boolean {
  return process.argv[2] === 'start' && !process.exitCode;
}

/** Errors of usage are thrown, not exited with: commander's own exit code for them is 1. */
function prepare(command: Command): void {
  command.exitOverride().showHelpAfterError('(--help shows what there is)');
  for (const each of command.commands) prepare(each);
}

/** Says what went wrong, with a stack only where it is our bug. Returns the exit code. */
function tell(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageError) {
    console.error(error.message);
    return 2;
  }
  if (error instanceof ConfigError) console.error(error.message);
  else if (error instanceof CaudalError) console.error(withCause(error));
  else if (isExpected(error)) console.error(error.message);
  else console.error(error);
  return 1;
}

/** "PostgreSQL can't be reached" alone does not tell a wrong password from a wrong port. */
function withCause({ message, cause }: CaudalError): string {
  const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : undefined;
  return why ? `${message} (${why.replace(/(\/\/[^/\s:@]*):[^/\s@]*@/g, '$1:***@')})` : message;
}

/** Errors that are thrown to be read: they say of themselves that they are no bugs. */
function isExpected(error: unknown): error is Error {
  return error instanceof Error && error.name === 'Error' && !('code' in error);
}
