/** Handlers of a log that loses its end in a fail-over, while their own database does not: see docs/fail-over.md. */
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as checkpoints } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { migrations } from '../migrations.ts';
import { fromMessage, toMessage } from '../rabbitmq/envelope.ts';
import { grow, scriptedFeed, testHandler } from '../testing/doubles.ts';
import { logFeed } from './log-feed.ts';
import { shareTail } from './shared-tail.ts';
import { runSubscription } from './subscription.ts';

const stream = 'orders.order/1';

describeWith(['postgres'], 'a handler of a log that has lost its end', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let own: FreshDatabase;
  let database: Database;
  let stops: (() => Promise<void>)[] = [];
  beforeEach(async () => {
    fresh = await freshLog();
    own = await freshDatabase();
    await migrate({ url: own.url, schema: 'views', sets: [checkpoints, migrations] });
    database = openDatabase({ url: own.url, schema: 'views' });
  });
  afterEach(async () => {
    await Promise.all(stops.map((stop) => stop()));
    stops = [];
    await database.close();
    await Promise.all([own.drop(), fresh.drop()]);
  });

  /** A feed that notes what it delivers. */
  function startFeed() {
    const got: RecordedEvent[] = [];
    const ended = new AbortController();
    const handler = { name: 'details.v1.1', entities: ['orders.order'] };
    const { log } = fresh.open();
    const feed = logFeed({
      handler,
      logs: new Map([['orders', shareTail(log)]]),
      database,
      holder: `feed ${stops.length}`,
    });
    const running = feed.run(async (events) => {
      got.push(...events);
    }, ended.signal);
    const stop = async () => {
      ended.abort();
      await running;
    };
    stops.push(stop);
    return { got, stop };
  }

  const isSaved = (at: number) => async () => (await position(database, 'feed:details.v1.1:orders')) === at;

  test('a feed goes on from where the log has kept what it had; also if it has not run meanwhile', async () => {
    await grow(fresh.log, stream, 5);
    const running = startFeed();
    await until(() => running.got.length === 5);
    await until(isSaved(5));
    await loseEnd(fresh.database, 3);
    const others = await grow(fresh.open().log, stream, 4);
    await until(() => running.got.length === 9);
    expect(running.got.slice(5)).toEqual(others);
    await until(isSaved(7));
    await running.stop();

    await loseEnd(fresh.database, 6);
    const more = await grow(fresh.open().log, stream, 1);
    const again = startFeed();
    await until(() => again.got.length === 1);
    expect(again.got).toEqual(more);
    await until(isSaved(7));
  });

  test('a floor that follows from it goes back with it, as far as the log has kept what was before', async () => {
    const text = 'INSERT INTO checkpoints (name, position) SELECT * FROM unnest($1::text[], $2::bigint[])';
    const names = ['floor', 'next-floor', 'start'].map((kind) => `${kind}:details.v1.1:orders`);
    await database.query({ text, values: [names, [4, 5, 2]] });
    await grow(fresh.log, stream, 5);
    const running = startFeed();
    await until(isSaved(5));
    await loseEnd(fresh.database, 3);
    await grow(fresh.open().log, stream, 4);
    await until(isSaved(7));
    await running.stop();
    expect(await Promise.all(names.map((name) => position(database, name)))).toEqual([3, 3, 2]);
  });

  /** A subscription to which the test delivers, as a queue does. */
  function startHandler() {
    const handler = testHandler('details.v1.1', ['orders.order']);
    const feed = scriptedFeed();
    const { log } = fresh.open();
    const running = runSubscription({
      ...{ handler, feed, database, logs: new Map([['orders', log]]) },
      reconciliation: { everyMs: 60_000 },
    });
    stops.push(() => running.stop());
    return { handler, log, give: feed.give };
  }

  /** As they arrive from a queue. */
  const sent = (events: RecordedEvent[]) =>
    events.map((event) => {
      const { content, options } = toMessage(event, 'events');
      return fromMessage({ content, properties: options as never })!;
    });

  test('messages of what was lost are not handled, and others of the same versions are', async () => {
    const before = await grow(fresh.log, stream, 5);
    const { handler, log, give } = startHandler();
    await give(sent(before.slice(0, 3)));
    await loseEnd(fresh.database, 3);
    const others = await grow(fresh.open().log, stream, 2);
    await until(() => log.epochs!().length === 1);
    await give(sent(before.slice(3)));
    expect(handler.applied.get(stream)).toEqual([1, 2, 3]);
    await give([...sent(before.slice(3)), ...sent(others)]);
    expect(handler.applied.get(stream)).toEqual([1, 2, 3, 4, 5]);
    for (const { eventId } of before.slice(3)) expect(handler.attempts.has(eventId)).toBe(false);
    for (const { eventId } of others) expect(handler.attempts.get(eventId)).toBe(1);
    expect(await database.query({ text: 'SELECT 1 FROM parked_streams' })).toEqual([]);
  });

  test('messages without an epoch, of a relay of version 0.2, are handled if the log has them', async () => {
    const before = await grow(fresh.log, stream, 4);
    await loseEnd(fresh.database, 3);
    const others = await grow(fresh.open().log, stream, 2);
    const { handler, log, give } = startHandler();
    await until(() => log.epochs!().length === 1);
    const silent = sent(others).map((event) => ({ ...event, epoch: undefined }));
    await give([...sent(before), ...silent]);
    expect(handler.applied.get(stream)).toEqual([1, 2, 3, 4, 5]);
    expect(handler.attempts.has(before[3]!.eventId)).toBe(false);
  });

  test('a message of a newer epoch than the handler knows makes it ask the log', async () => {
    await grow(fresh.log, stream, 2);
    const { handler, give } = startHandler();
    await loseEnd(fresh.database, 1);
    const all = await fresh.open().log.readStreams([{ stream, afterVersion: 0 }]);
    const others = await grow(fresh.open().log, stream, 1);
    await give([...sent(all), ...sent(others)]);
    expect(handler.applied.get(stream)).toEqual([1, 2]);
  });
});
