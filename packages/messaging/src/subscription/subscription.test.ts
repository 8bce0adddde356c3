import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { DeadLetters } from '../dead-letters/dead-letters.ts';
import { listDeadLetters, type Redriven, redrive } from '../dead-letters/redrive.ts';
import { migrations } from '../migrations.ts';
import { collect, grow, scriptedFeed, testHandler, versions } from '../testing/doubles.ts';
import type { Feed } from '../types.ts';
import { runSubscription, type SubscriptionOptions } from './subscription.ts';

const orders = 'orders.order';

describeWith(['postgres'], 'runSubscription', () => {
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

  /** Everything that a test needs, with a handler of its own. */
  function given(options: Partial<SubscriptionOptions> = {}) {
    const log = memoryLog({ domain: 'orders' });
    const calls = { readStreams: 0, mostCursors: 0, rounds: 0, afterRead: async (_: RecordedEvent[]) => {} };
    const counted = {
      ...log,
      readStreams: async (...args: Parameters<typeof log.readStreams>) => {
        calls.readStreams += 1;
        calls.mostCursors = Math.max(calls.mostCursors, args[0].length);
        const events = await log.readStreams(...args);
        await calls.afterRead(events);
        return events;
      },
      heads: async (...args: Parameters<typeof log.heads>) => {
        const page = await log.heads(...args);
        if (page.position <= args[0]) calls.rounds += 1;
        return page;
      },
    };
    const handler = testHandler(`handler-${count++}.v1`, [orders]);
    const letters: { event: RecordedEvent; error: string }[] = [];
    const deadLetters: DeadLetters = {
      publish: async (event, error) => {
        letters.push({ event, error });
      },
      drain: async () => ({ removed: 0, kept: 0 }),
      close: async () => {},
    };
    const feed = scriptedFeed();
    const logs = new Map([['orders', counted]]);
    const quick = { retry: { times: 3, firstMs: 4, maxMs: 20 }, pause: { firstMs: 4, maxMs: 20 } };
    const common = { handler, feed, logs, database, deadLetters };
    const running = runSubscription({ ...common, ...quick, reconciliation: false, ...options });
    stops.push(() => running.stop());
    const parked = () => collect(listDeadLetters(database, handler.name));
    const redriveAll = (): Promise<Redriven[]> => collect(redrive({ ...common }));
    return { log, handler, letters, calls, running, parked, redriveAll, give: feed.give };
  }

  test('repeats and disorder inside a batch are removed before the handler gets it', async () => {
    const { log, handler, give, calls } = given();
    const [a, b, c] = await grow(log, `${orders}/1`, 3);
    calls.readStreams = 0;
    await give([c!, a!, c!, b!, a!]);
    await give([b!]);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1, 2, 3]);
    expect([...handler.attempts.values()]).toEqual([1, 1, 1]);
    expect(calls.readStreams).toBe(0);
  });

  test('gaps of many streams are filled with one read', async () => {
    const { log, handler, give, calls } = given();
    const batch: RecordedEvent[] = [];
    for (const id of versions(20)) batch.push((await grow(log, `${orders}/${id}`, 5))[4]!);
    calls.readStreams = 0;
    await give(batch);
    for (const id of versions(20)) expect(handler.applied.get(`${orders}/${id}`)).toEqual(versions(5));
    expect(calls.readStreams).toBe(1);
  });

  test('events that can never be read park their stream, and no other one waits for it', async () => {
    const { log, handler, give, calls, parked } = given();
    const [bad, good] = [`${orders}/bad`, `${orders}/good`];
    const batch = [(await grow(log, bad, 3))[2]!, (await grow(log, good, 3))[2]!];
    calls.afterRead = async (events) => {
      if (events.some(({ stream }) => stream === bad)) throw new Error('that object is damaged');
    };
    await give(batch);
    expect(handler.applied.get(good)).toEqual(versions(3));
    expect(handler.applied.has(bad)).toBe(false);
    expect(await parked()).toMatchObject([{ stream: bad, version: 1, error: expect.stringContaining('damaged') }]);
  });

  test('an archive that stays away parks the streams that need it, and no other one waits for it; later ones at once', async () => {
    const { log, handler, give, calls, parked } = given({ archivePatienceMs: 50 });
    const [old, other, good] = [`${orders}/old`, `${orders}/other`, `${orders}/good`];
    const batch = [(await grow(log, old, 3))[2]!, (await grow(log, good, 3))[2]!];
    let waited = 0;
    calls.afterRead = async (events) => {
      if (!events.some(({ stream }) => stream === old || stream === other)) return;
      waited += 1;
      throw new CaudalError('UNAVAILABLE', 'ARCHIVE_UNAVAILABLE', 'The archive is away.');
    };
    await give(batch);
    expect(handler.applied.get(good)).toEqual(versions(3));
    expect(await parked()).toMatchObject([{ stream: old, error: expect.stringContaining('The archive is away') }]);
    expect(waited).toBeGreaterThan(4);
    waited = 0;
    await give([(await grow(log, other, 3))[2]!]);
    expect(waited).toBe(4);
    expect(await parked()).toHaveLength(2);
  });

  test('a gap longer than one read is filled in parts', async () => {
    const { log, handler, give } = given();
    await grow(log, `${orders}/1`, 2_500);
    const [last] = await grow(log, `${orders}/1`, 1);
    await give([last!]);
    expect(handler.applied.get(`${orders}/1`)).toEqual(versions(2_501));
  });

  test('deep gaps on many streams are filled a few at a time', async () => {
    const { log, handler, give, calls } = given();
    const batch: RecordedEvent[] = [];
    for (const id of versions(100)) batch.push((await grow(log, `${orders}/${id}`, 200))[199]!);
    const handle = handler.handle;
    let handed = 0;
    handler.handle = async (events) => {
      handed += events.length;
      return handle.call(handler, events);
    };
    await give(batch);
    for (const id of versions(100)) expect(handler.applied.get(`${orders}/${id}`)).toEqual(versions(200));
    expect(calls.mostCursors).toBe(32);
    // Each of the 20,000 once, and little besides.
    expect(handed).toBeLessThan(22_000);
  });

  test('events that another consumer applies in the meantime are not read from the log', async () => {
    const { log, handler, give, calls } = given();
    const [, second] = await grow(log, `${orders}/1`, 2);
    calls.readStreams = 0;
    const handle = handler.handle;
    handler.handle = async (events) => {
      const unfinished = await handle.call(handler, events);
      // Just after this one has found the gap, the other consumer applies what was missing.
      if (unfinished.length > 0) handler.applied.set(`${orders}/1`, [1]);
      return unfinished;
    };
    await give([second!]);
    expect(calls.readStreams).toBe(0);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1, 2]);
  });

  test('lost messages, even the last of a stream, are recovered within two rounds', async () => {
    const { log, handler, give, calls } = given({ reconciliation: { everyMs: 300, minAgeMs: 20 } });
    const random = randomFrom(7);
    const sent: RecordedEvent[] = [];
    for (const _ of versions(10)) for (const id of versions(15)) sent.push(...(await grow(log, `${orders}/${id}`, 2)));
    const arriving = sent.filter(() => random() > 0.3).flatMap((event) => (random() > 0.8 ? [event, event] : [event]));
    arriving.sort(() => random() - 0.5);
    while (arriving.length > 0) await give(arriving.splice(0, 40));
    await grow(log, `${orders}/1`, 1);
    const rounds = calls.rounds;
    const length = (id: number) => handler.applied.get(`${orders}/${id}`)?.length;
    await until(() => length(1) === 21 && versions(14).every((id) => length(id + 1) === 20));
    // Counted in rounds, not in time, since a loaded machine is slow. The last round need not have ended.
    expect(calls.rounds - rounds).toBeLessThanOrEqual(2);
    for (const [, applied] of handler.applied) expect(applied).toEqual(versions(applied.length));
  });

  test('reconciliation continues where it was, and does not read again what it has confirmed', async () => {
    const { log, handler, running } = given({ reconciliation: { everyMs: 50, minAgeMs: 0 } });
    await grow(log, `${orders}/1`, 3);
    await until(() => handler.applied.get(`${orders}/1`)?.length === 3);
    await running.stop();
    const asked: string[] = [];
    const again = {
      ...handler,
      seen: async (heads: RecordedEvent[]) => {
        asked.push(...heads.map(({ stream }) => stream));
        return heads.map(() => 0);
      },
    };
    const other = runSubscription({
      handler: again,
      feed: scriptedFeed(),
      logs: new Map([['orders', log]]),
      database,
      reconciliation: { everyMs: 50, minAgeMs: 0 },
    });
    stops.push(() => other.stop());
    await grow(log, `${orders}/2`, 1);
    await until(() => asked.length > 0);
    expect(new Set(asked)).toEqual(new Set([`${orders}/2`]));
  });

  test('while a backlog is consumed there is no reconciliation; after it there is', async () => {
    const { log, handler, give, calls } = given({ reconciliation: { everyMs: 40, minAgeMs: 0 } });
    const events = await grow(log, `${orders}/1`, 103);
    const delivered = async (event: RecordedEvent) => {
      await give([event]);
      await sleep(2);
    };
    await delivered(events[0]!);
    const early = calls.rounds;
    for (const event of events.slice(1, 101)) await delivered(event);
    // One may have begun before the first.
    expect(calls.rounds - early).toBeLessThanOrEqual(1);
    await until(() => calls.rounds > early + 2);
    expect(handler.applied.get(`${orders}/1`)).toEqual(versions(103));
  });

  test.each([
    ['an old event', 0],
    ['the newest event', 2],
  ])('%s that is delivered again and again is no backlog', async (_, place) => {
    const { log, give, calls } = given({ reconciliation: { everyMs: 40, minAgeMs: 0 } });
    const events = await grow(log, `${orders}/1`, 3);
    const before = calls.rounds;
    // Whatever the clock of this process shows.
    for (const byMs of [-3_600_000, 0, 3_600_000]) {
      const event = { ...events[place]!, recordedAt: new Date(Date.now() + byMs) };
      for (const _ of versions(50)) {
        await give([event]);
        await sleep(2);
      }
    }
    expect(calls.rounds - before).toBeGreaterThan(2);
  });

  test('a broker that accepts no dead letters holds up no stream', async () => {
    const refusing = { drain: async () => ({ removed: 0, kept: 0 }), close: async () => {} };
    const deadLetters = { ...refusing, publish: () => Promise.reject(unavailable('RabbitMQ')) };
    const { log, handler, give, parked } = given({ deadLetters });
    const [poison] = await grow(log, `${orders}/p`, 1);
    const [healthy] = await grow(log, `${orders}/h`, 1);
    handler.judge = ({ stream }) => stream === `${orders}/p` && new Error('bad data');
    await give([poison!]);
    await give([healthy!]);
    expect(handler.applied.get(`${orders}/h`)).toEqual([1]);
    expect(await parked()).toMatchObject([{ stream: `${orders}/p`, version: 1 }]);
  });

  test('a redrive that fails at a later event records that event', async () => {
    const { log, handler, give, parked, redriveAll } = given();
    const [first] = await grow(log, `${orders}/1`, 1);
    handler.judge = () => new Error('bad data');
    await give([first!]);
    // The messages of these have not arrived.
    await grow(log, `${orders}/1`, 3);
    handler.judge = ({ version }) => version === 3 && new Error('worse data');
    expect(await redriveAll()).toMatchObject([{ outcome: 'still-parked' }]);
    expect(await parked()).toMatchObject([{ version: 3, lastVersion: 3, count: 1 }]);
  });

  test('a poison event: 3 retries, a dead letter, its stream parked; later events wait; a redrive handles all in order', async () => {
    const { log, handler, letters, give, parked, redriveAll } = given();
    const poison = await grow(log, `${orders}/p`, 3);
    const [healthy] = await grow(log, `${orders}/h`, 1);
    handler.judge = ({ eventId }) => eventId === poison[1]!.eventId && new Error('bad data');
    await give([...poison, healthy!]);

    expect(handler.applied.get(`${orders}/h`)).toEqual([1]);
    expect(handler.applied.get(`${orders}/p`)).toEqual([1]);
    expect(handler.attempts.get(poison[1]!.eventId)).toBe(4);
    expect(handler.attempts.has(poison[2]!.eventId)).toBe(false);
    expect(letters).toEqual([{ event: poison[1], error: 'Error: bad data' }]);
    expect(await parked()).toMatchObject([
      { stream: `${orders}/p`, version: 2, lastVersion: 3, count: 2, attempts: 4, error: 'Error: bad data' },
    ]);

    const later = await grow(log, `${orders}/p`, 4);
    for (const event of later) await give([event]);
    await give([poison[1]!]);
    expect(await parked()).toMatchObject([{ version: 2, lastVersion: 7, count: 6, attempts: 4 }]);
    expect(letters).toHaveLength(1);
    expect(handler.attempts.has(later[0]!.eventId)).toBe(false);

    expect(await redriveAll()).toEqual([{ stream: `${orders}/p`, outcome: 'still-parked', error: 'Error: bad data' }]);
    expect(await parked()).toMatchObject([{ version: 2, lastVersion: 7, attempts: 5 }]);

    handler.judge = () => undefined;
    expect(await redriveAll()).toEqual([{ stream: `${orders}/p`, outcome: 'redriven' }]);
    expect(handler.applied.get(`${orders}/p`)).toEqual(versions(7));
    expect(await parked()).toEqual([]);
    await give(await grow(log, `${orders}/p`, 1));
    expect(handler.applied.get(`${orders}/p`)).toEqual(versions(8));
  });

  test('an event that arrives while its stream is redriven is not lost', async () => {
    const { log, handler, give, parked, redriveAll, calls } = given();
    const [first] = await grow(log, `${orders}/1`, 1);
    handler.judge = () => new Error('bad data');
    await give([first!]);
    handler.judge = () => undefined;
    calls.afterRead = async (events) => {
      if (events.length > 0) return;
      // The redrive has just read the end of the log when a consumer gets an event: it records and acknowledges it.
      calls.afterRead = async () => {};
      const [, last] = await grow(log, `${orders}/1`, 2);
      await give([last!]);
      expect((await parked())[0]).toMatchObject({ lastVersion: 3 });
    };
    expect(await redriveAll()).toEqual([{ stream: `${orders}/1`, outcome: 'redriven' }]);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1, 2, 3]);
  });

  test('an unreachable dependency: the handler waits, nothing is parked, no attempt counts', async () => {
    const { log, handler, letters, give, parked } = given();
    const events = await grow(log, `${orders}/1`, 2);
    handler.down = unavailable('MongoDB', new Error('connection refused'));
    let settled = false;
    const giving = give(events).then(() => {
      settled = true;
    });
    let transient = 0;
    handler.judge = () => (transient++ < 10 ? unavailable('MongoDB') : undefined);
    await sleep(200);
    expect(settled).toBe(false);
    handler.down = undefined;
    await giving;
    expect(transient).toBeGreaterThan(10);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1, 2]);
    expect(letters).toEqual([]);
    expect(await parked()).toEqual([]);
  });

  test('whatever a handler throws of its own: the event that causes it is found, and its stream is parked', async () => {
    const { log, handler, letters, give, parked } = given();
    const batch: RecordedEvent[] = [];
    for (const id of ['a', 'b', 'c']) batch.push(...(await grow(log, `${orders}/${id}`, 3)));
    const { handle } = handler;
    let calls = 0;
    handler.handle = async (events) => {
      calls += 1;
      if (events.some(({ stream, version }) => stream === `${orders}/b` && version === 2))
        throw new TypeError('a fault of the code');
      return handle.call(handler, events);
    };
    await give(batch);
    expect(Object.fromEntries(handler.applied)).toEqual({
      [`${orders}/a`]: [1, 2, 3],
      [`${orders}/b`]: [1],
      [`${orders}/c`]: [1, 2, 3],
    });
    expect(await parked()).toMatchObject([
      { stream: `${orders}/b`, version: 2, lastVersion: 3, attempts: 4, error: 'TypeError: a fault of the code' },
    ]);
    expect(letters).toHaveLength(1);
    // The batch, its 8 events without the last of b, and 3 further attempts of 2 events and of 1.
    expect(calls).toBeLessThanOrEqual(1 + 8 + 3 * 2);
  });

  test("an error of the database that is not about data is waited for: it is no event's fault", async () => {
    const { log, handler, give, parked } = given();
    const batch = [...(await grow(log, `${orders}/1`, 1)), ...(await grow(log, `${orders}/2`, 1))];
    const { handle } = handler;
    let calls = 0;
    handler.handle = async (events) => {
      if (++calls <= 20) await database.query({ text: 'SELECT * FROM a_table_that_is_missing' });
      return handle.call(handler, events);
    };
    await give(batch);
    expect(calls).toBe(21);
    expect(await parked()).toEqual([]);
    handler.handle = async () => database.query({ text: "SELECT 'x'::integer" });
    await give(await grow(log, `${orders}/3`, 1));
    expect(await parked()).toMatchObject([{ stream: `${orders}/3`, version: 1 }]);
  });

  test('a process that has lost the lease of its feed parks nothing', async () => {
    const lease = { signal: new AbortController().signal, fence: { name: 'of another process by now', epoch: 1 } };
    let deliver: (events: RecordedEvent[]) => Promise<void> = () => Promise.reject(new Error('not running'));
    const leased: Feed = {
      async run(given, signal) {
        deliver = (events) => given(events, lease);
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      },
    };
    const { log, handler, parked, letters } = given({ feed: leased });
    handler.judge = () => new Error('bad data');
    await expect(deliver(await grow(log, `${orders}/1`, 1))).rejects.toMatchObject({ name: 'Stopped' });
    expect(await parked()).toEqual([]);
    expect(letters).toEqual([]);
  });

  test('a handler that is stopped while it throws parks nothing', async () => {
    const { log, handler, give, parked, running } = given();
    const events = await grow(log, `${orders}/1`, 2);
    let threw = () => {};
    const thrown = new Promise<void>((resolve) => {
      threw = resolve;
    });
    handler.handle = async () => {
      threw();
      await sleep(20);
      throw new Error('ended in the middle of its work');
    };
    const giving = give(events);
    giving.catch(() => {});
    await thrown;
    await running.stop();
    await expect(giving).rejects.toMatchObject({ name: 'Stopped' });
    expect(await parked()).toEqual([]);
  });

  test('an event that fails less than four times is no dead letter', async () => {
    const { log, handler, letters, give } = given();
    const [event] = await grow(log, `${orders}/1`, 1);
    let failures = 0;
    handler.judge = () => (failures++ < 3 ? new Error('not yet') : undefined);
    await give([event!]);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1]);
    expect(letters).toEqual([]);
  });

  test('a gap that the log can not fill counts as a failure, and parks the stream', async () => {
    const { log, handler, give, parked, redriveAll } = given();
    const [event] = await grow(log, `${orders}/1`, 1);
    await give([{ ...event!, version: 9, eventId: 'from another past' }]);
    expect(handler.applied.get(`${orders}/1`)).toEqual([1]);
    expect(await parked()).toMatchObject([{ version: 2, lastVersion: 9, attempts: 4 }]);
    expect(await redriveAll()).toMatchObject([{ outcome: 'still-parked', error: 'version 2 is not in the log' }]);
  });

  test('a handler that makes no progress ends as a failure, not as a loop', async () => {
    const { log, handler, give, parked } = given();
    const [event] = await grow(log, `${orders}/1`, 1);
    handler.handle = async () => [{ kind: 'gap', stream: `${orders}/1`, seen: 0 }];
    await give([event!]);
    expect(await parked()).toMatchObject([{ version: 1, attempts: 4 }]);
  });

  test('stop while a dependency is unreachable: it returns soon, and the batch stays unsettled', async () => {
    // Longer than this test may take: only the signal ends the pause.
    const { log, handler, give, running } = given({ pause: { firstMs: 60_000, maxMs: 60_000 } });
    const events = await grow(log, `${orders}/1`, 1);
    handler.down = unavailable('MongoDB', new Error('connection refused'));
    const giving = give(events);
    giving.catch(() => {});
    await running.stop();
    await expect(giving).rejects.toMatchObject({ name: 'Stopped' });
  });
});
