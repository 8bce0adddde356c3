/** Jobs of several processes: one dies, one freezes past its lease and wakes, one ends in order. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { useDatabase } from './testing/database.ts';

const program = fileURLToPath(new URL('./testing/holder.ts', import.meta.url));
const leaseMs = 1_500;
const waitMs = 15_000;

interface Holder {
  child: ChildProcess;
  said: Record<string, unknown>[];
  /** Waits for a message with this key. */
  says(key: string): Promise<Record<string, unknown>>;
}

describeWith(['postgres'], 'jobs of several processes', () => {
  const orders = useDatabase();
  let holders: Holder[];
  beforeEach(async () => {
    holders = [];
    await orders.database.query({ text: 'TRUNCATE jobs, written' });
  });
  afterEach(async () => {
    for (const { child } of holders) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  function start(): Holder {
    const child = fork(program, [orders.url, String(leaseMs)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const said: Record<string, unknown>[] = [];
    child.on('message', (message) => said.push(message as Record<string, unknown>));
    const holder: Holder = {
      child,
      said,
      async says(key) {
        const signal = AbortSignal.timeout(waitMs);
        for (;;) {
          const found = said.find((message) => key in message);
          if (found) return found;
          await once(child, 'message', { signal });
        }
      },
    };
    holders.push(holder);
    return holder;
  }

  test('after one is killed, another takes over once the lease has expired', async () => {
    const first = start();
    await first.says('began');
    const second = start();
    const { lastStartedAt } = await orders.record('slow');
    first.child.kill('SIGKILL');
    expect(await second.says('began')).toEqual({ began: 2 });
    const record = await orders.record('slow');
    expect(record).toMatchObject({ epoch: 2, holder: `process-${second.child.pid}`, held: true });
    expect(record).toMatchObject({ lastOutcome: 'abandoned', failures: 1, failuresInRow: 1 });
    expect(record.lastError).toContain(`pid ${first.child.pid}`);
    expect(record.lastStartedAt!.getTime() - lastStartedAt!.getTime()).toBeGreaterThanOrEqual(leaseMs - 100);
  });

  test('one that freezes past its lease writes nothing when it wakes, and its signal fires', async () => {
    const first = start();
    await first.says('began');
    first.child.send('write');
    expect(await first.says('wrote')).toEqual({ wrote: 1 });
    first.child.kill('SIGSTOP');
    const second = start();
    expect(await second.says('began')).toEqual({ began: 2 });
    first.child.send('write');
    first.child.kill('SIGCONT');
    expect(await first.says('refused')).toEqual({ refused: 1, error: 'LeaseLost' });
    expect(await first.says('aborted')).toEqual({ aborted: 1 });
    second.child.send('write');
    expect(await second.says('wrote')).toEqual({ wrote: 2 });
    expect(await orders.tokensOf('slow')).toEqual([1, 2]);
    expect(await orders.record('slow')).toMatchObject({ epoch: 2, holder: `process-${second.child.pid}` });
  });

  test('one that ends in order releases its lease at once, and the run counts as interrupted', async () => {
    const first = start();
    await first.says('began');
    const ended = once(first.child, 'exit', { signal: AbortSignal.timeout(waitMs) });
    first.child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(first.said).toContainEqual({ aborted: 1 });
    expect(await orders.record('slow')).toMatchObject({ holder: null, lastOutcome: 'interrupted', failures: 0 });
  });
});
