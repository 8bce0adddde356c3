import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { openStreamLocks, type StreamLocks } from './stream-locks.ts';
import { freshLog } from './testing/log.ts';

const schema = 'orders';
const stream = 'orders.order/hot';
/** The longest wait for a lock. */
const waitMs = 1_000;

describeWith(['postgres'], 'locks of a stream', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  const opened: StreamLocks[] = [];
  beforeAll(async () => {
    fresh = await freshLog(schema);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((locks) => locks.stop()));
  });
  afterAll(() => fresh.drop());

  /** The locks of one process. */
  function openProcess(url = fresh.url): StreamLocks {
    const locks = openStreamLocks({ url, schema });
    opened.push(locks);
    return locks;
  }

  /** The number of sessions that wait for a lock in the database. */
  async function waiting(): Promise<number> {
    const text = `SELECT count(*)::int AS n FROM pg_locks
      WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    return (await fresh.database.query<{ n: number }>({ text }))[0]!.n;
  }
  async function untilWaiting(count: number): Promise<void> {
    for (let attempt = 0; attempt < 500 && (await waiting()) !== count; attempt++) await sleep(5);
    expect(await waiting()).toBe(count);
  }

  test('are granted in the order of the requests', async () => {
    const first = await openProcess().take(stream);
    const had: number[] = [];
    const others = [];
    for (const n of [1, 2, 3]) {
      others.push(
        openProcess()
          .take(stream)
          .then((end) => {
            had.push(n);
            end();
          }),
      );
      await untilWaiting(n);
    }
    expect(had).toEqual([]);
    first();
    await Promise.all(others);
    expect(had).toEqual([1, 2, 3]);
  });

  test('of different streams do not wait for each other', async () => {
    const locks = openProcess();
    const began = performance.now();
    const had = [await locks.take(stream), await locks.take('orders.order/other')];
    expect(performance.now() - began).toBeLessThan(waitMs);
    for (const end of had) end();
  });

  test('end with the connection of their holder', async () => {
    const proxy = await startTcpProxy(fresh.url);
    try {
      const lost = await openProcess(proxy.url).take(stream);
      const next = openProcess().take(stream);
      await untilWaiting(1);
      proxy.cut();
      const began = performance.now();
      (await next)();
      expect(performance.now() - began).toBeLessThan(waitMs);
      lost();
    } finally {
      await proxy.close();
    }
  });

  test('that are not released are waited for only a second, and ended by the server', async () => {
    const still = await openProcess().take(stream);
    const other = openProcess();
    const began = performance.now();
    (await other.take(stream))();
    expect(performance.now() - began).toBeGreaterThan(waitMs * 0.9);
    // The server ends the transaction of a holder that hangs.
    for (let took = waitMs, attempt = 0; took >= waitMs * 0.9; attempt++) {
      expect(attempt).toBeLessThan(5);
      const askedAt = performance.now();
      (await other.take(stream))();
      took = performance.now() - askedAt;
    }
    still();
  });

  test('are skipped without a wait beyond four at a time, or if PostgreSQL is unreachable', async () => {
    const locks = openProcess();
    const had = await Promise.all([1, 2, 3, 4].map((n) => locks.take(`orders.order/${n}`)));
    const began = performance.now();
    await locks.take('orders.order/5');
    for (const end of had) end();
    const proxy = await startTcpProxy(fresh.url);
    proxy.refuse(true);
    await openProcess(proxy.url).take(stream);
    expect(performance.now() - began).toBeLessThan(waitMs);
    await proxy.close();
  });
});
