/** The `caudal` command as a script runs it: its output, and its exit code. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { main, root } from '../e2e/part.ts';

export interface CommandResult {
  /** The exit code, or the signal that ended it. */
  code: number | string;
  stdout: string;
  stderr: string;
}

const commandMs = 60_000;

/** Runs the command with these settings. */
export function runCaudal(env: Record<string, string>, ...args: string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, main), ...args],
      {
        env: { PATH: process.env.PATH, HOME: process.env.HOME, LOG_LEVEL: 'fatal', ...env },
        timeout: commandMs,
        maxBuffer: 64 * 1024 * 1024,
      },
      (_error, stdout, stderr) => resolve({ code: child.exitCode ?? child.signalCode ?? 'unknown', stdout, stderr }),
    );
  });
}
