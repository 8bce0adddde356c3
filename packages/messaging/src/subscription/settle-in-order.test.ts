/** Handlers that need the log's order: batches are done in order, failures park their stream, redrives don't try it. */
import { NewerEvent } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { acquire, position } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { feedCheckpoint } from '../checkpoints.ts';
import { listDeadLetters, redrive } from '../dead-letters/redrive.ts';
import { migrations } from '../migrations.ts';
import { collect, grow, scriptedFeed } from '../testing/doubles.ts';
import type { InOrderHandler } from '../types.ts';
import { hasPassed, logFeed } from './log-feed.ts';
import { openParking } from './parking.ts';
import { Stopped } from './patience.ts';
import { runSubscription, type SubscriptionOptions } from './subscription.ts';

const orders = 'orders.order';

/** Applies events in the order given; `judge` returns an error to fail one. */
function inOrderHandler(name: string) {
  const applied: string[] = [];
  const attempts: string[] = [];
  const handler: InOrderHandler & { applied: string[]; attempts: string[]; judge(event: RecordedEvent): unknown } = {
    name,
    entities: [orders],
    inOrder: true,
    applied,
    attempts,
    judge: () => undefined,
    async handle(events) {
      for (const event of events) {
        const label = `${event.stream.slice(orders.length + 1)}@${event.version}`;
        if (applied.includes(label)) continue;
        attempts.push(label);
        const error = handler.judge(event);
        if (error) return { event, error };
        applied.push(label);
      }
      return undefined;
    },
  };
  return handler;
}

describeWith(['postgres'], 'settling in order', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let count = 0;
  const stops: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [postgresMigrations, migrations] });
    database = openDatabase({ url: fresh.url, schema: 'views' });
  });
  afterEach(async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });

  function given(options: Partial<SubscriptionOptions> = {}) {
    const log = memoryLog({ domain: 'orders' });
    const logs = new Map([['orders', log]]);
    const handler = inOrderHandler(`in-order-${count++}.v1.1`);
    const feed = scriptedFeed();
    const letters: string[] = [];
    const deadLetters = {
      publish: async ({ stream, version }: RecordedEvent) => void letters.push(`${stream}@${version}`),
      drain: async () => ({ removed: 0, kept: 0 }),
      close: async () => {},
    };
    const quick = { retry: { times: 3, firstMs: 2, maxMs: 8 }, pause: { firstMs: 2, maxMs: 8 } };
    const running = runSubscription({ handler, feed, logs, database, deadLetters, ...quick, ...options });
    stops.push(() => running.stop());
    const parked = async () =>
      (await collect(listDeadLetters(database, handler.name))).map(({ stream, version, lastVersion, attempts }) => ({
        stream,
        version,
        lastVersion,
        attempts,
      }));
    return { log, logs, handler, letters, parked, give: feed.give };
  }

  /** 1@1 2@1 1@2 2@2 1@3 3@1, in the log's order. */
  async function interleaved(log: ReturnType<typeof memoryLog>): Promise<RecordedEvent[]> {
    for (const id of ['1', '2', '1', '2', '1', '3']) await grow(log, `${orders}/${id}`, 1);
    return [...log.events];
  }

  test('an event that fails is tried 4 times, with nothing behind it done; then its stream is parked and the rest continues', async () => {
    const { log, handler, letters, parked, give } = given();
    handler.judge = ({ stream, version }) => stream === `${orders}/1` && version === 2 && new Error('poison');
    await give(await interleaved(log));
    expect(handler.attempts).toEqual(['1@1', '2@1', '1@2', '1@2', '1@2', '1@2', '2@2', '3@1']);
    expect(handler.applied).toEqual(['1@1', '2@1', '2@2', '3@1']);
    expect(await parked()).toEqual([{ stream: `${orders}/1`, version: 2, lastVersion: 3, attempts: 4 }]);
    expect(letters).toEqual([`${orders}/1@2`]);
  });

  test('later events of a parked stream are left out, even after the fix, and recorded', async () => {
    const { log, handler, parked, give } = given();
    handler.judge = ({ stream, version }) => stream === `${orders}/1` && version === 2 && new Error('poison');
    const events = await interleaved(log);
    await give(events);
    handler.judge = () => undefined;
    // The same events again, as after a crash, and more.
    await give(events);
    await give(await grow(log, `${orders}/1`, 2));
    expect(handler.applied).toEqual(['1@1', '2@1', '2@2', '3@1']);
    expect(await parked()).toEqual([{ stream: `${orders}/1`, version: 2, lastVersion: 5, attempts: 4 }]);
  });

  test('a redrive leaves them parked, and answers that the handler must be built anew', async () => {
    const { log, logs, handler, parked, give } = given();
    handler.judge = ({ version }) => version === 2 && new Error('poison');
    await give(await grow(log, `${orders}/1`, 3));
    handler.judge = () => undefined;
    const redriven = await collect(redrive({ handler, logs, database }));
    expect(redriven).toEqual([
      { stream: `${orders}/1`, outcome: 'still-parked', error: expect.stringContaining('must be built anew') },
    ]);
    expect(handler.applied).toEqual(['1@1']);
    expect(await parked()).toHaveLength(1);
  });

  test('whatever it throws of its own counts as a failure of the event that causes it', async () => {
    const { log, handler, parked, give } = given();
    const { handle } = handler;
    handler.handle = async (events) => {
      if (events.some(({ stream, version }) => stream === `${orders}/1` && version === 2)) throw new TypeError('fault');
      return handle(events);
    };
    await give(await interleaved(log));
    expect(handler.applied).toEqual(['1@1', '2@1', '2@2', '3@1']);
    expect(await parked()).toEqual([{ stream: `${orders}/1`, version: 2, lastVersion: 3, attempts: 4 }]);
  });

  test('it waits for the end of an outage, and for a newer version, without counting attempts', async () => {
    const { log, handler, parked, give } = given();
    let failures = 0;
    handler.judge = () => (failures++ < 20 ? unavailable('MongoDB') : undefined);
    await give(await grow(log, `${orders}/1`, 1));
    expect(handler.applied).toEqual(['1@1']);
    failures = 0;
    handler.judge = () => (failures++ < 20 ? new NewerEvent('of the next release') : undefined);
    await give(await grow(log, `${orders}/1`, 1));
    expect(handler.applied).toEqual(['1@1', '1@2']);
    expect(failures).toBe(21);
    expect(await parked()).toEqual([]);
  });

  test('from the log: the checkpoint follows each batch; hasPassed is false before it and for parked streams', async () => {
    const log = memoryLog({ domain: 'orders' });
    const logs = new Map([['orders', log]]);
    const handler = inOrderHandler(`in-order-${count++}.v1.1`);
    handler.judge = ({ stream }) => stream === `${orders}/bad` && new Error('poison');
    const feed = logFeed({ handler, logs, database, prompt: true });
    const retry = { times: 0, firstMs: 1, maxMs: 1 };
    const running = runSubscription({ handler, feed, logs, database, retry });
    stops.push(() => running.stop());
    const passed = (event: RecordedEvent) => hasPassed(database, handler.name, event);
    const [good] = await grow(log, `${orders}/1`, 1);
    await until(() => passed(good!));
    expect(handler.applied).toEqual(['1@1']);
    const [bad] = await grow(log, `${orders}/bad`, 1);
    const [next] = await grow(log, `${orders}/2`, 1);
    await until(() => passed(next!));
    expect(await position(database, feedCheckpoint(handler.name, 'orders'))).toBe(3);
    expect(await passed(bad!)).toBe(false);
    expect(await passed({ ...next!, position: 4 })).toBe(false);
  });

  test.each([
    ['an event that it can not handle', new Error('poison'), 1_000],
    ['an event of the next release', new NewerEvent('of the next release'), 0],
  ])('a process that loses its lease while it retries %s stops, and parks nothing', async (_, error, times) => {
    const log = memoryLog({ domain: 'orders' });
    const logs = new Map([['orders', log]]);
    const old = inOrderHandler(`in-order-${count++}.v1.1`);
    old.judge = ({ version }) => version === 2 && error;
    const others = { logs, database, retry: { times, firstMs: 5, maxMs: 5 }, pause: { firstMs: 5, maxMs: 5 } };
    const feed = (holder: string) => logFeed({ handler: old, logs, database, holder, ttlMs: 200 });
    const first = runSubscription({ handler: old, feed: feed('old'), ...others });
    stops.push(() => first.stop());
    await grow(log, `${orders}/1`, 3);
    await until(async () => old.attempts.length > 3);

    // What another process does that finds the lease expired, after this one was suspended.
    await database.query({
      text: "UPDATE checkpoints SET epoch = epoch + 1, holder = 'new', lease_until = now() + interval '30 seconds' WHERE name = $1",
      values: [feedCheckpoint(old.name, 'orders')],
    });
    await until(async () => {
      const before = old.attempts.length;
      await new Promise((resolve) => setTimeout(resolve, 60));
      return old.attempts.length === before;
    });
    expect(await collect(listDeadLetters(database, old.name))).toEqual([]);

    await database.query({
      text: "UPDATE checkpoints SET holder = NULL, lease_until = '-infinity' WHERE name = $1",
      values: [feedCheckpoint(old.name, 'orders')],
    });
    const now = inOrderHandler(old.name);
    const second = runSubscription({ handler: now, feed: feed('newer'), ...others });
    stops.push(() => second.stop());
    await first.stop();
    await until(async () => now.applied.includes('1@3'));
  });

  test('the statement that parks is void once another process has the lease', async () => {
    const log = memoryLog({ domain: 'orders' });
    const handler = inOrderHandler(`in-order-${count++}.v1.1`);
    const [event] = await grow(log, `${orders}/1`, 1);
    const { epoch } = (await acquire(database, { name: handler.name, holder: 'old', ttlMs: 1 }))!;
    const fence = { name: handler.name, epoch };
    const parking = openParking({ handler: handler.name, database });
    const failure = { version: 1, error: new Error('poison'), attempts: 4 };
    await new Promise((resolve) => setTimeout(resolve, 5));
    await acquire(database, { name: handler.name, holder: 'new', ttlMs: 60_000 });
    await expect(parking.park([event!], failure, fence)).rejects.toThrow(Stopped);
    expect(await collect(listDeadLetters(database, handler.name))).toEqual([]);
    expect(await parking.park([event!], failure, { ...fence, epoch: epoch + 1 })).toBe(true);
    expect(await collect(listDeadLetters(database, handler.name))).toHaveLength(1);
  });
});
