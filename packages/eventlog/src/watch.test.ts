import type { Database, Statement } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { someAppend } from './testing/events.ts';
import { freshLog } from './testing/log.ts';
import { headPosition, watch } from './watch.ts';

describeWith(['postgres'], 'the watch of a log', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    await fresh.log.append(someAppend('orders.order/first', 0));
  });
  afterAll(() => fresh.drop());

  /** The database, with the time of each look at the head. */
  function counted(): { database: Database; looks: number[] } {
    const looks: number[] = [];
    const query = <R>(statement: Statement) => {
      if (statement.name === 'eventlog-head') looks.push(performance.now());
      return fresh.database.query<R>(statement);
    };
    return { database: { ...fresh.database, query }, looks };
  }

  /** Growth that nobody notifies of. */
  const grow = () => fresh.database.query({ text: 'UPDATE head SET position = position + 1' });

  test('looks seldom while notifications come, and wakes at each', async () => {
    const { database, looks } = counted();
    const watching = watch(database);
    try {
      const head = await headPosition(fresh.database);
      const began = performance.now();
      await watching.wait(head, 8_000);
      // At first soon, as if notifications might not come.
      const late = looks.filter((at) => at > began + 4_000);
      expect(looks.length - late.length).toBeGreaterThan(4);
      expect(late.length).toBeLessThanOrEqual(3);
      const woken = watching.wait(head, 30_000);
      const appended = performance.now();
      await fresh.log.append(someAppend('orders.order/second', 0));
      await woken;
      expect(performance.now() - appended).toBeLessThan(1_500);
    } finally {
      await watching.stop();
    }
  }, 60_000);

  test('looks more often again once growth was not announced, until one is', async () => {
    const { database, looks } = counted();
    const watching = watch(database);
    const pauses = async (count: number) => {
      await watching.wait(await headPosition(fresh.database), count * 250 + 2_000);
      return looks.slice(-count).map((at, index, all) => at - (all[index - 1] ?? at));
    };
    try {
      expect(Math.max(...(await pauses(16)))).toBeGreaterThan(1_500);
      const found = watching.wait(await headPosition(fresh.database), 30_000);
      await grow();
      await found;
      looks.length = 0;
      await pauses(16);
      // Six seconds at 250 ms; at two seconds it would be three looks after those at the beginning.
      expect(looks.length).toBeGreaterThan(14);
    } finally {
      await watching.stop();
    }
  }, 60_000);
});
