import type { Database, Statement } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { appendBatch } from './append.ts';
import { headPosition } from './read.ts';
import { someAppend } from './testing/events.ts';
import { freshLog } from './testing/log.ts';
import { watch } from './watch.ts';

describeWith(['postgres'], 'the watch of a log', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    await fresh.log.append(someAppend('orders.order/first', 0));
  });
  afterAll(() => fresh.drop());

  /** The database, with the time of each read of the head. */
  function counted(): { database: Database; looks: number[] } {
    const looks: number[] = [];
    const query = <R>(statement: Statement) => {
      if (statement.name === 'eventlog-head') looks.push(performance.now());
      return fresh.database.query<R>(statement);
    };
    return { database: { ...fresh.database, query }, looks };
  }

  /** Growth without a notification. */
  const grow = () =>
    appendBatch(fresh.database, [{ append: someAppend('orders.order/first', 'any'), reliesOnRefused: false }]);

  test('polls rarely while notifications arrive, and wakes at each', async () => {
    const { database, looks } = counted();
    const watching = watch(database);
    try {
      const head = await headPosition(fresh.database);
      const began = performance.now();
      await watching.wait(head, { waitMs: 8_000 });
      // At first it polls often, in case no notifications arrive.
      const late = looks.filter((at) => at > began + 4_000);
      expect(looks.length - late.length).toBeGreaterThan(4);
      expect(late.length).toBeLessThanOrEqual(3);
      const woken = watching.wait(head, { waitMs: 30_000 });
      const appended = performance.now();
      await fresh.log.append(someAppend('orders.order/second', 0));
      await woken;
      expect(performance.now() - appended).toBeLessThan(1_500);
    } finally {
      await watching.stop();
    }
  }, 60_000);

  test('polls more often after growth without a notification, until there is one', async () => {
    const { database, looks } = counted();
    const watching = watch(database);
    const pauses = async (count: number) => {
      await watching.wait(await headPosition(fresh.database), { waitMs: count * 250 + 2_000 });
      return looks.slice(-count).map((at, index, all) => at - (all[index - 1] ?? at));
    };
    try {
      expect(Math.max(...(await pauses(16)))).toBeGreaterThan(1_500);
      const found = watching.wait(await headPosition(fresh.database), { waitMs: 30_000 });
      await grow();
      await found;
      looks.length = 0;
      await pauses(16);
      // Six seconds at 250 ms. At two seconds it would be three reads after those at the beginning.
      expect(looks.length).toBeGreaterThan(14);
    } finally {
      await watching.stop();
    }
  }, 60_000);

  test('growth that is told with its position ends waits before it, without a query', async () => {
    const { database, looks } = counted();
    const watching = watch(database);
    try {
      const ended: number[] = [];
      const waits = [10, 20].map((position) =>
        watching.wait(position, { waitMs: 30_000, told: 0 }).then(() => ended.push(position)),
      );
      watching.wake(20);
      await waits[0];
      expect(ended).toEqual([10]);
      watching.wake(21);
      await waits[1];
      // It was told after the reader had begun to read, and before the reader waits.
      await watching.wait(20, { waitMs: 30_000, told: 1 });
      expect(looks).toEqual([]);
      // It was told before: the reader has seen it. After another epoch nothing is known.
      await watching.wait(20, { waitMs: 10, told: watching.told() });
      watching.restart();
      await watching.wait(20, { waitMs: 10, told: 1 });
    } finally {
      await watching.stop();
    }
  });
});
