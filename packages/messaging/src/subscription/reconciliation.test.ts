/** What reconciliation makes of slots that are late, and of slots that no queue brings. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { migrations } from '../migrations.ts';
import { slotOf } from '../rabbitmq/slots.ts';
import { grow, scriptedFeed, testHandler, versions } from '../testing/doubles.ts';
import type { Feed } from '../types.ts';
import { runSubscription } from './subscription.ts';

describeWith(['postgres'], 'reconciliation by slots', () => {
  let fresh: FreshDatabase;
  let count = 0;
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => fresh.drop());

  /** Streams of several slots, two events each, of which the feed brings nothing. */
  async function given(feed: Pick<Feed, 'backlog' | 'unserved'>, reconciliation: false | { everyMs: number }) {
    const schema = `s${count++}`;
    await migrate({ url: fresh.url, schema, sets: [postgresMigrations, logMigrations, migrations] });
    const database: Database = openDatabase({ url: fresh.url, schema });
    cleanups.push(() => database.close());
    const log = openEventLog({ database, domain: 'orders' });
    cleanups.push(() => log.stop());
    for (const id of versions(20)) await grow(log, `orders.order/${id}`, 2);
    const handler = testHandler('list.v1', ['orders.order']);
    /** The streams whose events were read from the log. */
    const reads: string[] = [];
    const counted: LogReader = {
      ...log,
      readStreams: (cursors, options) => {
        reads.push(...cursors.map(({ stream }) => stream));
        return log.readStreams(cursors, options);
      },
      // Behind all events it brings the epochs alone.
      readLog: (after: number) =>
        after === Number.MAX_SAFE_INTEGER
          ? log.readLog(after, { limit: 1 })
          : Promise.reject(new Error('reconciliation reads heads')),
    };
    const running = runSubscription({
      handler,
      feed: { ...scriptedFeed(), ...feed },
      logs: new Map([['orders', counted]]),
      database,
      reconciliation: reconciliation && { ...reconciliation, minAgeMs: 0 },
    });
    cleanups.push(() => running.stop());
    const slots = () => new Set([...handler.applied.keys()].map(slotOf));
    return { handler, log, reads, slots, checkpoint: () => position(database, 'sweep:list.v1:orders') };
  }

  const late = versions(20)
    .map((id) => slotOf(`orders.order/${id}`))
    .slice(0, 3);

  test('slots with a backlog are left out, the others are compared, and the checkpoint waits for all', async () => {
    let backlog = [...new Set(late)];
    const { handler, slots, checkpoint } = await given({ backlog: async () => backlog }, { everyMs: 50 });
    const others = versions(20).filter((id) => !backlog.includes(slotOf(`orders.order/${id}`)));
    await until(() => handler.applied.size === others.length);
    for (const slot of backlog) expect(slots().has(slot)).toBe(false);
    expect(await checkpoint()).toBe(0);
    backlog = [];
    await until(() => handler.applied.size === 20);
    await until(async () => (await checkpoint()) === 40);
  });

  test('a backlog that never ends is compared after 20 rounds', async () => {
    const backlog = [...new Set(late)];
    const { handler } = await given({ backlog: async () => backlog }, { everyMs: 20 });
    await until(() => handler.applied.size === 20);
  });

  test('events are read of the streams that are behind, and of no others', async () => {
    const { handler, log, reads, checkpoint } = await given({}, { everyMs: 20 });
    await until(async () => (await checkpoint()) === 40);
    reads.length = 0;
    // All streams move, and the handler has seen the events of all but one.
    for (const id of versions(20)) if (id !== 7) handler.applied.set(`orders.order/${id}`, [1, 2, 3]);
    for (const id of versions(20)) await grow(log, `orders.order/${id}`, 1);
    await until(() => handler.applied.get('orders.order/7')?.length === 3);
    await until(async () => (await checkpoint()) === 60);
    expect(new Set(reads)).toEqual(new Set(['orders.order/7']));
  });

  test('slots that no queue brings are read at once, and only those', async () => {
    const unserved = [...new Set(late)];
    const { handler, slots, checkpoint } = await given({ unserved: () => unserved }, false);
    const wanted = versions(20).filter((id) => unserved.includes(slotOf(`orders.order/${id}`)));
    await until(() => handler.applied.size === wanted.length);
    expect([...slots()].sort()).toEqual(unserved.sort());
    expect(await checkpoint()).toBe(0);
  });
});
