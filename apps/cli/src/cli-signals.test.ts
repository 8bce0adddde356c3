/** `demo` and `import` end on a signal: in order, without a stack, and with 128 + the signal's number. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { until } from '../../../test/e2e/wait.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const sample = fileURLToPath(new URL('../../importer/data/online-retail-sample.csv', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'caudal-signals-'));
const postmaster = join(folder, 'data', 'postgres', 'postmaster.pid');
const children: ChildProcess[] = [];
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

function run(args: string[], output: 'ignore' | 'pipe' = 'ignore') {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, CAUDAL_DATA_DIR: join(folder, 'data'), LOG_LEVEL: 'warn' };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', output, 'pipe'] });
  children.push(child);
  const running = { child, errors: '', ended: once(child, 'close') as Promise<[number | null]> };
  child.stderr!.on('data', (chunk) => {
    running.errors += chunk;
  });
  return running;
}

const isThere = () => existsSync(postmaster);

test.each([
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGINT', 130],
] as const)(
  'demo, by %s, leaves no PostgreSQL behind',
  async (signal, expected) => {
    const running = run(['demo']);
    await until('its PostgreSQL runs', async () => isThere(), Boolean);
    running.child.kill(signal);
    const [code] = await running.ended;
    expect({ code, errors: code === expected ? '' : running.errors }).toEqual({ code: expected, errors: '' });
    expect(running.errors).not.toMatch(/\n\s+at /);
    expect(isThere()).toBe(false);
  },
  120_000,
);

test('a command whose output is no longer read leaves no PostgreSQL behind either', async () => {
  const running = run(['replay', 'all'], 'pipe');
  running.child.stdout!.destroy();
  const [code] = await running.ended;
  expect([0, 143]).toContain(code); // 0 if it had ended before the signal
  expect(isThere()).toBe(false);
}, 60_000);

test('import, by Ctrl-C, prints only its progress', async () => {
  // No server listens there, so it repeats its calls.
  const running = run(['import', sample, '--address', '127.0.0.1:9']);
  await until('it has begun', async () => running.errors.includes('customers'), Boolean);
  running.child.kill('SIGINT');
  expect((await running.ended)[0]).toBe(130);
  expect(running.errors).not.toMatch(/Error|\n\s+at /);
}, 60_000);
