/** Parts with real processes, on a real RabbitMQ and PostgreSQL: joining, leaving, dying, freezing, and more parts. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';
import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { selectFollowers } from '../relay/followers.ts';
import { grow, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import { createSeenTables, startPartProcess } from '../testing/part-process.ts';
import { inspectQueue, partKeys, partQueueName } from './topology.ts';

const slow = 120_000;
/** Enough for every part to have some. */
const streams = 64;
const handler = 'order-list.v1';

describeWith(['postgres', 'rabbitmq'], 'processes of one handler', () => {
  const { open, onEnd } = ordersLogs();

  async function given(parts: number) {
    const { url, schema, database, rabbit, log, bind, relay } = await open({ owns: [handler] });
    await createSeenTables(database);
    await bind({ name: handler, entities: ['orders.order'], parts });
    relay();

    const children: ChildProcess[] = [];
    const start = async (of = parts): Promise<ChildProcess> => {
      const child = await startPartProcess({
        ...{ url, schema, brokerUrl: serverUrl('rabbitmq'), prefix: rabbit.prefix, handler, parts: of },
      });
      children.push(child);
      onEnd(() => end(child, 'SIGKILL'));
      return child;
    };
    const end = async (child: ChildProcess, signal: NodeJS.Signals) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    };
    /** Appends all the time, some 200 events a second, until it is stopped. */
    const load = () => {
      const stopping = new AbortController();
      const running = (async () => {
        for (let n = 0; !stopping.signal.aborted; n++) {
          await Promise.all(versions(4).map((id) => grow(log, `orders.order/${(n * 4 + id) % streams}`, 1)));
          await sleep(20);
        }
      })();
      const stop = async () => {
        stopping.abort();
        await running;
      };
      onEnd(stop);
      return stop;
    };
    const read = async <R>(text: string) => database.query<R & object>({ text });
    /** Each stream is seen up to its head. */
    const isWhole = async () => {
      const { heads } = await log.heads(0, { minAgeMs: 0, limit: 100_000 });
      const rows = await read<{ stream: string; version: number }>('SELECT stream, version FROM seen');
      const seen = new Map(rows.map(({ stream, version }) => [stream, version]));
      return heads.every(({ stream, version }) => seen.get(stream) === version);
    };
    /** What the batches since a moment say. */
    const report = async (since = new Date(0)) => {
      const [sums] = await database.query<{ events: number; gaps: number; lost: number; lagMs: number; used: number }>({
        text: `SELECT coalesce(sum(events), 0)::float8 AS events, coalesce(sum(gaps), 0)::float8 AS gaps,
            coalesce(sum(lost_races), 0)::float8 AS lost, coalesce(max(lag_ms), 0) AS "lagMs",
            count(DISTINCT process)::float8 AS used
          FROM batches WHERE at > $1`,
        values: [since],
      });
      return sums!;
    };
    /** The processes that have handled something in the last two seconds. */
    const busy = async () => (await report(new Date(Date.now() - 2_000))).used;
    return { database, rabbit, start, end, load, isWhole, report, busy };
  }

  test(
    '1, then 8, then 1 of them under load: nothing is lost, next to nothing is read again, all take part',
    async () => {
      const { start, end, load, isWhole, report, busy } = await given(8);
      const first = await start();
      const stop = load();
      await until(async () => (await busy()) === 1);
      const others = await Promise.all(versions(7).map(() => start()));
      await until(async () => (await busy()) === 8, 30_000);
      for (const child of others) await end(child, 'SIGTERM');
      await until(async () => (await busy()) === 1, 10_000);
      expect(first.exitCode).toBeNull();
      await stop();
      await until(isWhole, 10_000);
      const { events, gaps, lost } = await report();
      expect(gaps / events).toBeLessThan(0.01);
      expect(lost).toBe(0);
    },
    slow,
  );
  test(
    'one is killed, one is frozen: its streams go on within seconds, and when it goes on, nothing is undone',
    async () => {
      const { start, end, load, isWhole, report, busy } = await given(8);
      const [killed, frozen] = await Promise.all(versions(3).map(() => start()));
      const stop = load();
      await until(async () => (await busy()) === 3, 20_000);
      await end(killed!, 'SIGKILL');
      await until(async () => (await busy()) === 2, 10_000);
      await sleep(6_000);
      const killedReport = await report();
      const since = new Date();
      frozen!.kill('SIGSTOP');
      await sleep(9_000);
      const during = await report(since);
      await sleep(6_000);
      frozen!.kill('SIGCONT');
      await until(async () => (await busy()) === 2, 20_000);
      await stop();
      await until(isWhole, 10_000);
      expect(killedReport.lagMs).toBeLessThan(2_000);
      // Stale after 3 s, read within a second or two; without that it takes until heartbeats are missed.
      expect(during.lagMs).toBeLessThan(7_000);
    },
    slow,
  );

  test(
    'they are replaced one by one by others that know more parts: nothing is lost, and no slot stays where it was',
    async () => {
      const { database, rabbit, start, end, load, isWhole, report, busy } = await given(2);
      const old = await Promise.all(versions(2).map(() => start()));
      const stop = load();
      await until(async () => (await busy()) === 2, 20_000);
      for (const child of old) {
        await start(8);
        await end(child, 'SIGTERM');
      }
      // Slots are only taken from where they were when no process of the old kind was seen for a while.
      const own = new Map(
        Array.from({ length: 8 }, (_, part) => [
          partQueueName(handler, part, rabbit.prefix),
          partKeys(['orders.order'], part, 8).sort(),
        ]),
      );
      await until(async () => {
        const rows = await selectFollowers(database);
        return rows.every(({ queue, keys }) => isDeepStrictEqual(keys, own.get(queue)));
      }, 60_000);
      await sleep(1_000);
      const since = new Date();
      await sleep(3_000);
      await stop();
      await until(isWhole, 10_000);
      const late = await report(since);
      expect(late.lost).toBe(0);
      for (let part = 0; part < 8; part++)
        expect(await inspectQueue(rabbit.direct, partQueueName(handler, part, rabbit.prefix))).toMatchObject({
          messages: 0,
        });
    },
    slow,
  );
});
