/** However `npm start` is ended, the whole system ends in an orderly way, and another one can start at once. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { root } from '../e2e/part.ts';
import { isGone, killLeftovers, npmStart, processesOf } from './npm.ts';

const linux = process.platform === 'linux' ? describe : describe.skip;

linux('npm start (on Linux)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-ending-'));
  const data = join(folder, 'data');
  const postmaster = join(data, 'postgres', 'postmaster.pid');
  const env = { CAUDAL_DATA_DIR: data };
  afterAll(() => {
    killLeftovers([data]);
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  // scripts/bootstrap-ending.test.ts tests every signal to each of the processes, with a small program.
  test.each([
    // After a signal that npm passes on, it waits: when npm has ended, the whole system has.
    ['SIGTERM', 'npm', 0],
    ['SIGKILL', 'npm', 'SIGKILL'],
  ] as const)(
    '%s to %s',
    async (signal, target, expected) => {
      const started = await npmStart({ cwd: root, env });
      process.kill(started.chain[target], signal);
      expect(await started.ended).toBe(expected);
      await isGone(started, data);
      expect(existsSync(postmaster)).toBe(false);
      expect(existsSync(join(data, 'owner'))).toBe(false);
    },
    240_000,
  );

  test('SIGKILL to the program: npm ends, and the next start takes over the remaining PostgreSQL', async () => {
    const killed = await npmStart({ cwd: root, env });
    process.kill(killed.chain.program, 'SIGKILL');
    // npm ends as what it has started: bootstrap.js, which has become the program.
    expect(await killed.ended).toBe('SIGKILL');
    const left = readFileSync(postmaster, 'utf8').split('\n')[0];
    expect(processesOf(data).map(({ pid }) => String(pid))).toEqual([left]);

    const next = await npmStart({ cwd: root, env });
    expect(readFileSync(postmaster, 'utf8').split('\n')[0]).toBe(left);
    process.kill(next.pid, 'SIGTERM');
    expect(await next.ended).toBe(0);
    await isGone(next, data);
  }, 240_000);
});
