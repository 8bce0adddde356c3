import { unavailable } from '@caudal/kernel/errors.ts';
import { sleep, systemClock } from '@caudal/kernel/time.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import type { Advanced } from './advance.ts';
import { type DueTimer, writeCursors } from './cursor-store.ts';
import type { TimedHandler } from './saga-handler.ts';
import { useDatabase } from './testing/postgres.ts';
import { testClock } from './testing/world.ts';
import { runTimers, type TimersOptions } from './timers.ts';

describeWith(['postgres'], 'timers', () => {
  const db = useDatabase();
  let count = 0;
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });

  /** A handler that only has timers; `fired` lists those that have fired. */
  function setUp(work: (timer: DueTimer) => Promise<Advanced> = async ({ version }) => done(version)) {
    const { clock, pass } = testClock();
    const name = `t${count++}.process`;
    const fired: DueTimer[] = [];
    const handler: TimedHandler = {
      name,
      entities: [],
      handle: async () => [],
      seen: async () => [],
      settled: async () => {},
      fire(timer) {
        fired.push(timer);
        return work(timer);
      },
    };
    const start = (options: Partial<TimersOptions> = {}) => {
      const running = runTimers({ database: db.database, handlers: [handler], clock, everyMs: 10, ...options });
      stops.push(() => running.stop());
      return running;
    };
    const set = (id: string, inMs = 0) =>
      writeCursors(db.database, name, new Map(), [
        { id, dueAt: new Date(clock().getTime() + inMs), retries: 0, version: 1 },
      ]);
    const pauseOf = async (id: string) => {
      const row = (await db.timers(name)).find((timer) => timer.id === id);
      return row && { ...row, pause: row.dueAt.getTime() - clock().getTime() };
    };
    return { name, handler, clock, pass, fired, start, set, pauseOf, timers: () => db.timers(name) };
  }
  const done = (version: number): Advanced => ({ dueAt: undefined, retries: 0, version });

  test('fire when they are due, once, and are deleted when there is nothing more to do', async () => {
    const { name, fired, pass, start, set, timers } = setUp();
    await set('now');
    await set('later', 1000);
    start();
    await until(async () => (await timers()).length === 1);
    expect(fired).toEqual([{ handler: name, id: 'now', retries: 0, version: 1 }]);
    pass(1000);
    await until(async () => (await timers()).length === 0);
    expect(fired.map(({ id }) => id)).toEqual(['now', 'later']);
  });

  test('are fired once by several processes, also if there are more than one takes at a time', async () => {
    const { fired, start, set, timers } = setUp();
    const ids = Array.from({ length: 150 }, (_, index) => `t${index}`);
    await Promise.all(ids.map((id) => set(id)));
    for (let worker = 0; worker < 3; worker++) start();
    await until(async () => (await timers()).length === 0);
    expect(fired.map(({ id }) => id).sort()).toEqual(ids.sort());
  });

  test('that this process sets fire at their time, however rarely it reads the table', async () => {
    const { name, handler, fired } = setUp();
    const running = runTimers({ database: db.database, handlers: [handler], clock: systemClock, everyMs: 60_000 });
    stops.push(() => running.stop());
    const at = new Map<string, number>();
    const set = (id: string, inMs: number) => {
      at.set(id, Date.now() + inMs);
      return writeCursors(db.database, name, new Map(), [
        { id, dueAt: new Date(Date.now() + inMs), retries: 0, version: 1 },
      ]);
    };
    const firedAt = new Map<string, number>();
    handler.fire = async (timer) => {
      fired.push(timer);
      firedAt.set(timer.id, Date.now());
      return done(timer.version);
    };
    // The latest one first, so that timers are set both earlier and later than the known one.
    await set('third', 900);
    await set('first', 0);
    await set('second', 400);
    await until(async () => (await db.timers(name)).length === 0);
    expect(fired.map(({ id }) => id)).toEqual(['first', 'second', 'third']);
    for (const [id, due] of at) {
      expect(firedAt.get(id)! - due).toBeGreaterThanOrEqual(-5);
      expect(firedAt.get(id)! - due).toBeLessThan(2_000);
    }
  });

  test('that another process sets are found by the next read; a read is one statement for all handlers', async () => {
    const [one, other] = [setUp(), setUp()];
    const statements: (string | undefined)[] = [];
    // Timers that are set through another database object raise no alarm in this process.
    const database: Database = {
      ...db.database,
      query: (statement) => {
        statements.push(statement.name);
        return db.database.query(statement);
      },
    };
    one.start({ database, handlers: [one.handler, other.handler], everyMs: 200 });
    await until(() => statements.length >= 3);
    expect(new Set(statements)).toEqual(new Set(['timers-due-soon']));
    await other.set('a', 100);
    // By its clock, which stands still, it is not due yet.
    await until(() => statements.length >= 6);
    expect(other.fired).toEqual([]);
    one.pass(100);
    await until(async () => (await other.timers()).length === 0);
    expect(other.fired.map(({ id }) => id)).toEqual(['a']);
    expect(one.fired).toEqual([]);
  });

  test('fire again when the handler returns a time', async () => {
    const { fired, clock, pass, start, set, timers } = setUp(async ({ retries, version }) =>
      retries === 2 ? done(version) : { dueAt: new Date(clock().getTime() + 5000), retries: retries + 1, version },
    );
    await set('a');
    start();
    for (let round = 1; round <= 3; round++) {
      await until(() => fired.length === round);
      pass(5000);
    }
    await until(async () => (await timers()).length === 0);
    expect(fired.map(({ retries }) => retries)).toEqual([0, 1, 2]);
  });

  test('do not wait for as long as the clock was set back; what is early is due again', async () => {
    const { fired, clock, pass, start, set, pauseOf } = setUp(async ({ id, version }) =>
      // For example the end of a reservation, which must not fire early.
      id === 'of its time' ? { dueAt: endsAt, retries: 0, version } : done(version),
    );
    const endsAt = new Date(clock().getTime() + 300_000);
    await Promise.all([set('tried again', 5_000), set('of its time', 300_000), set('far off', 86_400_000)]);
    start();
    // It has read the clock once.
    await set('now');
    await until(async () => (await pauseOf('now')) === undefined);
    pass(-3_600_000);
    await until(async () => (await pauseOf('tried again')) === undefined);
    await until(async () => (await pauseOf('of its time'))?.dueAt.getTime() === endsAt.getTime());
    expect(fired.map(({ id }) => id).sort()).toEqual(['now', 'of its time', 'tried again']);
  });

  test('that fail fire again: soon in an outage, more rarely after a bug; others are not held up', async () => {
    const { fired, pass, start, set, pauseOf } = setUp(async ({ id, version }) => {
      if (id === 'away') throw unavailable('PostgreSQL');
      if (id === 'bug') throw new Error('a bug');
      return done(version);
    });
    await Promise.all(['away', 'bug', 'good'].map((id) => set(id)));
    start();
    for (let round = 1; round <= 5; round++) {
      await until(async () => (await pauseOf('away'))?.retries === round && (await pauseOf('bug'))?.retries === round);
      expect((await pauseOf('away'))?.pause).toBeLessThanOrEqual(500 * 2 ** (round - 1));
      expect((await pauseOf('bug'))?.pause).toBeGreaterThanOrEqual(500 * 2 ** (round - 1));
      pass(60_000);
    }
    expect(await pauseOf('good')).toBeUndefined();
    expect(fired.filter(({ id }) => id === 'good').length).toBe(1);
  });

  test('that hang take their places, and hold up no others', async () => {
    const gate = Promise.withResolvers<void>();
    const hanging = setUp(async ({ id, version }) => {
      if (id.startsWith('hang')) await gate.promise;
      return done(version);
    });
    await Promise.all(Array.from({ length: 127 }, (_, n) => hanging.set(`hang${n}`)));
    hanging.start();
    await until(() => hanging.fired.length === 127);
    // One place is left, and used again and again.
    for (const id of ['a', 'b', 'c']) await hanging.set(id);
    await until(async () => (await hanging.timers()).length === 127);
    expect(
      hanging.fired
        .map(({ id }) => id)
        .slice(127)
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    gate.resolve();
    await until(async () => (await hanging.timers()).length === 0);
  });

  test('of one handler do not wait for those of another', async () => {
    const gate = Promise.withResolvers<void>();
    const hanging = setUp(async ({ version }) => {
      await gate.promise;
      return done(version);
    });
    const other = setUp();
    await Promise.all(Array.from({ length: 200 }, (_, n) => hanging.set(`t${n}`)));
    other.start({ handlers: [hanging.handler, other.handler] });
    await until(() => hanging.fired.length === 128);
    await other.set('a');
    await until(async () => (await other.timers()).length === 0);
    expect(hanging.fired).toHaveLength(128);
    gate.resolve();
    await until(async () => (await hanging.timers()).length === 0);
  });

  test('survive an outage of the database', async () => {
    const { fired, start, set, timers } = setUp();
    const proxy = await startTcpProxy(db.url);
    const database = openDatabase({ url: proxy.url, schema: 'orders' });
    try {
      proxy.refuse(true);
      await set('a');
      const running = start({ database });
      // Long enough for an attempt or two, which must fail.
      await sleep(100);
      expect(fired).toEqual([]);
      proxy.refuse(false);
      await until(async () => (await timers()).length === 0);
      proxy.refuse(true);
      proxy.cut();
      await set('b');
      await sleep(50);
      proxy.refuse(false);
      await until(async () => (await timers()).length === 0);
      expect(fired.map(({ id }) => id)).toEqual(['a', 'b']);
      await running.stop();
    } finally {
      await database.close();
      await proxy.close();
    }
  });

  test('whose process has died before it wrote the result are fired again', async () => {
    const proxy = await startTcpProxy(db.url);
    const database = openDatabase({ url: proxy.url, schema: 'orders' });
    let dying = true;
    const { fired, pass, start, set, timers } = setUp(async ({ version }) => {
      proxy.refuse(dying);
      if (dying) proxy.cut();
      return done(version);
    });
    try {
      await set('a');
      const running = start({ database });
      await until(() => fired.length === 1);
      await running.stop();
      expect((await timers()).length).toBe(1);
      dying = false;
      start();
      // Its lease holds, however often the table is read.
      await sleep(50);
      expect(fired.length).toBe(1);
      pass(60_000);
      await until(async () => (await timers()).length === 0);
      expect(fired.map(({ id }) => id)).toEqual(['a', 'a']);
    } finally {
      await database.close();
      await proxy.close();
    }
  });

  test('stop after those in flight, and take no more', async () => {
    const gate = Promise.withResolvers<void>();
    const { fired, start, set, timers } = setUp(async ({ version }) => {
      await gate.promise;
      return done(version);
    });
    await set('a');
    const running = start();
    await until(() => fired.length === 1);
    let stopped = false;
    const stopping = running.stop().then(() => {
      stopped = true;
    });
    await set('b');
    await sleep(30);
    expect(stopped).toBe(false);
    gate.resolve();
    await Promise.all([stopping, running.stop()]);
    expect((await timers()).map(({ id }) => id)).toEqual(['b']);
    expect(fired.length).toBe(1);
  });
});
