import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { appendBatch } from './append.ts';
import { someAppend, summary } from './testing/events.ts';
import { freshLog, setClockAhead } from './testing/log.ts';
import type { RecordedEvent } from './types.ts';

describeWith(['postgres'], 'reading', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    // a1 b1 a2 c1 b2 a3, each in a transaction of its own
    for (const name of ['a', 'b', 'a', 'c', 'b', 'a'])
      await fresh.log.append(someAppend(`orders.order/${name}`, 'any', [name]));
  });
  afterAll(() => fresh.drop());

  test('several streams are read in one call, each after its cursor', async () => {
    const cursors = [
      { stream: 'orders.order/b', afterVersion: 0 },
      { stream: 'orders.order/a', afterVersion: 2 },
      { stream: 'orders.order/c', afterVersion: 1 },
      { stream: 'orders.order/none', afterVersion: 0 },
    ];
    const events = await fresh.log.readStreams(cursors);
    expect(summary(events)).toEqual([
      ['orders.order/a', 3, 'a'],
      ['orders.order/b', 1, 'b'],
      ['orders.order/b', 2, 'b'],
    ]);
    expect(await fresh.log.readStreams(cursors, { limit: 2 })).toEqual(events.slice(0, 2));
    expect(await fresh.log.readStreams([])).toEqual([]);
  });

  test('one stream is read in pages', async () => {
    await fresh.log.append(someAppend('orders.order/long', 0, Array(2_500).fill('x')));
    const pages: RecordedEvent[][] = [];
    for await (const page of fresh.log.readStream('orders.order/long', 100)) pages.push(page);
    expect(pages.map(({ length }) => length)).toEqual([1_000, 1_000, 400]);
    expect(pages.flat().map(({ version }) => version)).toEqual(Array.from({ length: 2_400 }, (_, n) => n + 101));
    for await (const page of fresh.log.readStream('orders.order/none')) throw new Error(`${page.length} events`);
  });

  test('the log is read in pages, with its head', async () => {
    const first = await fresh.log.readLog(0, { limit: 4 });
    expect(first.events.map(({ position }) => position)).toEqual([1, 2, 3, 4]);
    const second = await fresh.log.readLog(4, { limit: 2 });
    expect(second.events.map(({ position }) => position)).toEqual([5, 6]);
    expect(await fresh.log.readLog(first.head)).toEqual({ events: [], head: first.head });
  });

  test('heads: the last event of each stream in the page, and the position to continue from', async () => {
    const { heads, position } = await fresh.log.heads(1, { limit: 4 });
    expect(heads.map(({ stream, version }) => [stream, version])).toEqual([
      ['orders.order/a', 2],
      ['orders.order/c', 1],
      ['orders.order/b', 2],
    ]);
    expect(position).toBe(5);
    const { head } = await fresh.log.readLog(0);
    expect(await fresh.log.heads(head)).toEqual({ heads: [], position: head });
    expect(await fresh.log.heads(1, { minAgeMs: 60_000 })).toEqual({ heads: [], position: 1 });
  });

  describe('waiting', () => {
    test('ends with the next event, from this process or another', async () => {
      const other = fresh.open();
      const { head } = await fresh.log.readLog(0);
      const began = performance.now();
      const readers = [fresh.log, other.log].flatMap((log) =>
        [head, head].map((p) => log.readLog(p, { waitMs: 20_000 })),
      );
      const tooFar = fresh.log.readLog(head + 1, { waitMs: 300 });
      await fresh.log.append(someAppend('orders.order/waited', 0, ['now']));
      for (const { events } of await Promise.all(readers))
        expect(summary(events)).toEqual([['orders.order/waited', 1, 'now']]);
      expect(performance.now() - began).toBeLessThan(10_000);
      expect((await tooFar).events).toEqual([]);
    });

    test('ends after waitMs, and with its signal', async () => {
      const { head } = await fresh.log.readLog(0);
      expect(await fresh.log.readLog(head, { waitMs: 30 })).toEqual({ events: [], head });
      const ending = new AbortController();
      const reading = fresh.log.readLog(head, { waitMs: 20_000, signal: ending.signal });
      ending.abort();
      expect(await reading).toEqual({ events: [], head });
    });

    test('does not depend on notifications', async () => {
      const { head } = await fresh.log.readLog(0);
      const reading = fresh.log.readLog(head, { waitMs: 20_000 });
      // Written by a session that sends no notification.
      const append = someAppend('orders.order/quiet', 0);
      await appendBatch(fresh.database, [{ append, reliesOnRefused: false }]);
      const written = performance.now();
      expect((await reading).events.map((event) => event.eventId)).toEqual([append.events[0]!.eventId]);
      // Well before the wait's own end, at which the log is read once more.
      expect(performance.now() - written).toBeLessThan(10_000);
    });
  });

  test('heads: while the log is ahead of a clock that was set back, every event is old enough', async () => {
    const { log, database } = fresh.open();
    const { head } = await log.readLog(0, { limit: 1 });
    await setClockAhead(database, '1 hour');
    await log.append(someAppend('orders.order/early', 0));
    await setClockAhead(database, '0');
    const { heads } = await log.heads(head, { minAgeMs: 10_000 });
    expect(heads.map(({ stream }) => stream)).toEqual(['orders.order/early']);
  });

  test('a server that can not be reached is UNAVAILABLE', async () => {
    const away = fresh.open();
    await away.database.close();
    await expect(away.log.readLog(0)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(away.log.heads(0)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('snapshots: the newest stays, and one of another schema version replaces it', async () => {
    const { log } = fresh;
    const stream = 'orders.order/long';
    expect(await log.loadSnapshot(stream)).toBeUndefined();
    const save = (version: number, schemaVersion: number) =>
      log.saveSnapshot(stream, { version, schemaVersion, data: Buffer.from([version]) });
    await save(10, 1);
    await save(5, 1);
    expect(await log.loadSnapshot(stream)).toEqual({ version: 10, schemaVersion: 1, data: Buffer.from([10]) });
    expect(await log.findSnapshot(stream)).toEqual({ version: 10, schemaVersion: 1 });
    await save(20, 1);
    expect(await log.loadSnapshot(stream)).toMatchObject({ version: 20 });
    await save(15, 2);
    expect(await log.loadSnapshot(stream)).toMatchObject({ version: 15, schemaVersion: 2 });
  });
});
