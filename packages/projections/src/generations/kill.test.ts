/** Processes that build and are killed with SIGKILL, on the real log and the real stores. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { order } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { confirmed, created, details } from '../testing/projections.ts';
import { storeNames } from '../testing/rebuild.ts';
import { testStores } from '../testing/stores.ts';
import { isRight } from '../verify/report.ts';
import { verify } from '../verify/verify.ts';

const orders = 3_000;
const events = 2 * orders;
/** Streams whose views the builder folds again before the switch. */
const sampled = 500;
const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };

describeWith(['postgres'], 'a building process that is killed', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'caudal-kill-'));
    fresh = await freshLog('orders');
    const encode = (event: Parameters<typeof order.encode>[0]) =>
      newEvent({ entity: order, event, origin, now: new Date() });
    await forEachConcurrent(Array(orders).keys(), 64, async (n) => {
      const appended = [encode(created('ann', BigInt(n))), encode(confirmed)];
      await fresh.log.append({ stream: order.stream(`${n}`), expected: 0, events: appended });
    });
  }, 60_000);
  afterAll(async () => {
    await fresh.drop();
    await rm(folder, { recursive: true });
  });

  for (const name of storeNames) {
    describeWith([name], `on ${name}`, () => {
      test('is followed by another one within seconds, which does a small part again', async () => {
        const place = await testStores[name]();
        const count = join(folder, name);
        const start = () =>
          fork(new URL('../testing/build-and-die.ts', import.meta.url), [name, place.at, fresh.url, count]);
        const handled = async () => (await stat(count).catch(() => ({ size: 0 }))).size;

        const first = start();
        await until(async () => (await handled()) >= 0.7 * events, 60_000);
        first.kill('SIGKILL');
        await once(first, 'exit');
        const before = await handled();
        const killedAt = performance.now();
        const second = start();
        const message = once(second, 'message');
        await until(async () => (await handled()) > before, 30_000);
        // Its start, and the lease: six seconds.
        expect(performance.now() - killedAt).toBeLessThan(20_000);
        expect(await message).toMatchObject([{ built: true }]);

        // Progress is saved every second beside the work, and on busy cores a save takes its time.
        expect(await handled()).toBeLessThanOrEqual(1.2 * events + 2 * sampled);
        const logs = new Map<string, LogReader>([
          ['orders', fresh.log],
          ['payments', memoryLog({ domain: 'payments' })],
        ]);
        const report = await verify({ projection: details, store: place.store, logs });
        expect(isRight(report)).toBe(true);
        expect(report).toMatchObject({ documents: orders, generation: 'test-details.v1.1' });
        await place.remove();
      }, 120_000);
    });
  }
});
