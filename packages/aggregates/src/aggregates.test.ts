/** Aggregates over the real log. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations } from '@caudal/eventlog/migrations.ts';
import { type CaudalError, isCode } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep, systemClock } from '@caudal/kernel/time.ts';
import { openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { add, open, purse, tagOf, take } from './testing/purse.ts';

describeWith(['postgres'], 'aggregates on PostgreSQL', () => {
  let fresh: FreshDatabase;
  const closing: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'test', sets: [migrations] });
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  afterAll(() => fresh.drop());

  /** A process: its own pool, log and aggregates. Counts the statements it sends. */
  function startProcess({ url = fresh.url, elapsed }: { url?: string; elapsed?(): number } = {}) {
    const pool = openDatabase({ url, schema: 'test', poolSize: 4 });
    const pipeline = openPipeline({ url, schema: 'test' });
    const sent = { appends: 0, events: 0 };
    const counting = <T extends Transaction>(connection: T): T => ({
      ...connection,
      async query<R>(statement: Parameters<Transaction['query']>[0]) {
        const rows = await connection.query<R>(statement);
        if (statement.name === 'eventlog-append') sent.appends += 1;
        if (statement.name === 'eventlog-read-streams') sent.events += rows.length;
        return rows;
      },
    });
    const [database, appender] = [counting(pool), counting(pipeline)];
    const log = openEventLog({ database, appender, domain: 'test', retryForMs: 3_000 });
    const aggregates = openAggregates({ log, clock: systemClock, ids: newId, elapsed });
    closing.push(async () => {
      await aggregates.drain();
      await log.stop();
      await Promise.all([pipeline.close(), pool.close()]);
    });
    return { aggregates, log, sent };
  }

  async function eventsOf(log: ReturnType<typeof startProcess>['log'], id: string) {
    const events = [];
    for await (const page of log.readStream(purse.entity.stream(id))) events.push(...page);
    return events;
  }

  /** Repeats a command under its id until its outcome is known, as clients do. */
  async function untilKnown<T>(run: () => Promise<T>): Promise<T | 'refused'> {
    for (let attempt = 0; attempt < 200; attempt++) {
      try {
        return await run();
      } catch (error) {
        if (isCode(error, 'FAILED_PRECONDITION')) return 'refused';
        if (!isCode(error, 'UNAVAILABLE', 'ABORTED')) throw error;
        await sleep(Math.min((error as CaudalError).retryAfterMs ?? 0, 20));
      }
    }
    throw new Error('The outcome stayed unknown.');
  }

  test('two processes on one stream: commands are in the log once, the balance is never negative', async () => {
    const processes = [startProcess(), startProcess()];
    await processes[0]!.aggregates.execute(add('hot', 300, { tag: 'start' }));
    const answered: { tag: string; version: number; balance: number }[] = [];
    let refusals = 0;
    const client = async (process: number, name: string) => {
      for (let n = 0; n < 4; n++) {
        const tag = `${name}-${n}`;
        // Commands without an id are done once as well, as long as no call is lost.
        const command = take('hot', 1, { tag, requestId: n % 2 ? tag : undefined });
        const done = await untilKnown(() => processes[process]!.aggregates.execute(command));
        if (done === 'refused') refusals += 1;
        else answered.push({ tag, version: done.version, balance: done.reply.balance });
      }
    };
    await Promise.all(Array.from({ length: 128 }, (_, n) => client(n % 2, `client-${n}`)));

    const events = await eventsOf(processes[0]!.log, 'hot');
    expect({ taken: answered.length, refusals }).toEqual({ taken: 300, refusals: 212 });
    expect(events.length).toBe(301);
    for (const { tag, version, balance } of answered) {
      expect(tagOf(events[version - 1]!)).toBe(tag);
      expect(balance).toBe(301 - version);
    }
    for (const { aggregates } of processes) expect((await aggregates.load(purse, 'hot')).state.balance).toBe(0);
  });

  test('commands of a hot stream share commits', async () => {
    const { aggregates, sent } = startProcess();
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (let n = 0; n < 10; n++) await aggregates.execute(add('shared', 1));
      }),
    );
    expect((await aggregates.load(purse, 'shared')).state.balance).toBe(500);
    expect(sent.appends).toBeLessThan(50);
  });

  test('10,000 events load from a snapshot and few events', async () => {
    const long = { ...purse, snapshot: { every: 100, schemaVersion: 1 } };
    // The clock stands still, so no snapshot waits because of the cost of the one before.
    const writer = startProcess({ elapsed: () => 0 });
    for (let n = 0; n < 20; n++) await writer.aggregates.execute(add('long', 500, { parts: 500, decider: long }));
    await writer.aggregates.drain();
    const reader = startProcess();
    expect(await reader.aggregates.load(long, 'long')).toMatchObject({ state: { balance: 10_000 }, version: 10_000 });
    expect(reader.sent.events).toBeLessThan(500);
  });

  test('a repeat in another process gets the first answer', async () => {
    const [here, there] = [startProcess(), startProcess()];
    const first = await here.aggregates.execute(open('mine', { requestId: 'open' }));
    const command = open('mine', { requestId: 'open' });
    expect(await there.aggregates.execute(command)).toEqual({ ...first, repeated: true });
    expect(await here.aggregates.execute(command)).toEqual({ ...first, repeated: true });
    await expect(there.aggregates.execute(take('mine', 1, { requestId: 'open' }))).rejects.toMatchObject({
      reason: 'REQUEST_ID_REUSED',
    });
  });

  test('connections that break during commands lose none and repeat none', async () => {
    const proxy = await startTcpProxy(fresh.url);
    closing.push(() => proxy.close());
    const { aggregates, log } = startProcess({ url: proxy.url });
    const tags = new Set<string>();
    const client = async (name: string) => {
      for (let n = 0; n < 10; n++) {
        const tag = `${name}-${n}`;
        await untilKnown(() => aggregates.execute(add('cut', 1, { tag, requestId: tag })));
        tags.add(tag);
      }
    };
    const clients = Promise.all(Array.from({ length: 30 }, (_, n) => client(`cut-${n}`)));
    for (let cut = 0; cut < 5; cut++) {
      const before = tags.size;
      while (tags.size < Math.min(before + 20, 300)) await sleep(2);
      proxy.cut();
    }
    await clients;
    const events = await eventsOf(log, 'cut');
    expect(events.length).toBe(300);
    expect(new Set(events.map(tagOf))).toEqual(tags);
  });
});
