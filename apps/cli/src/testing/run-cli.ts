/** Runs the real command as a child process, as in a shell or a deployment. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface Ended {
  /** -1 if it had to be killed. */
  code: number;
  stdout: string;
  stderr: string;
  /** Standard output as one JSON value. */
  json(): Record<string, unknown>;
  /** Standard output as one JSON value per line. */
  lines(): Record<string, unknown>[];
}

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const limitMs = 40_000;

export function cli(env: Record<string, string>): (...args: string[]) => Promise<Ended> {
  return async (...args) => {
    const child = spawn(process.execPath, ['apps/cli/src/main.ts', ...args], {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text) => {
        said[stream] += text;
      });
    }
    const killer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    const [code] = await once(child, 'close');
    clearTimeout(killer);
    return {
      code: code ?? -1,
      ...said,
      json: () => JSON.parse(said.stdout),
      lines: () =>
        said.stdout
          .trimEnd()
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line)),
    };
  };
}
