import { sleep } from '@caudal/kernel/time.ts';
import type { Database, Statement } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { appendBatch } from './append.ts';
import { channelOf } from './notify.ts';
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

  /** The database, with the time of each read of the head: when it ended. */
  function counted(): { database: Database; looks: number[] } {
    const looks: number[] = [];
    const query = async <R>(statement: Statement) => {
      const rows = await fresh.database.query<R>(statement);
      if (statement.name === 'eventlog-head') looks.push(performance.now());
      return rows;
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
      const head = await headPosition(fresh.database);
      looks.length = 0;
      const found = watching.wait(head, { waitMs: 30_000 });
      // The wait's own read of the head can't tell whether somebody told of the growth.
      while (looks.length === 0) await sleep(5);
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
      const seen = watching.wait(20, { waitMs: 60_000, told: watching.told() });
      watching.restart();
      await seen;
      await watching.wait(20, { waitMs: 10, told: 1 });
    } finally {
      await watching.stop();
    }
  });

  test('growth that is told without a position is found for those, too, that are about to wait', async () => {
    const { database } = counted();
    const watching = watch(database);
    try {
      const head = await headPosition(fresh.database);
      const told = watching.told();
      const waiting = watching.wait(head, { waitMs: 30_000 });
      await grow();
      watching.wake();
      await waiting;
      const began = performance.now();
      await watching.wait(head, { waitMs: 30_000, told });
      expect(performance.now() - began).toBeLessThan(1_000);
    } finally {
      await watching.stop();
    }
  });

  test('what was told before the log became shorter does not count; a failing read is paced', async () => {
    const { database, looks } = counted();
    let failing = false;
    const query = <R>(statement: Statement): Promise<R[]> => {
      if (!failing) return database.query<R>(statement);
      looks.push(performance.now());
      return Promise.reject(new Error('no'));
    };
    const watching = watch({ ...database, query });
    try {
      const head = await headPosition(fresh.database);
      watching.wake(head + 1_000);
      // Finds that the log ends before that.
      await watching.wait(head, { waitMs: 200 });
      // Polls find no growth, so that only the notification can end the wait.
      const began = performance.now();
      const waiting = watching.wait(head, { waitMs: 10_000, told: watching.told() });
      const values = [channelOf(fresh.database.schema), String(head + 1)];
      await fresh.database.query({ text: 'SELECT pg_notify($1, $2)', values });
      await waiting;
      expect(performance.now() - began).toBeLessThan(5_000);
      failing = true;
      looks.length = 0;
      const until = performance.now() + 500;
      while (performance.now() < until) await watching.wait(head + 2, { waitMs: 30_000 });
      expect(looks.length).toBeLessThan(30);
    } finally {
      await watching.stop();
    }
  });
});
