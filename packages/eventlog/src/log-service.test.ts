import * as wire from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type LogClient, logHandlers, remoteLog } from './log-service.ts';
import { someAppend } from './testing/events.ts';
import { loseEnd } from './testing/fail-over.ts';
import { freshLog } from './testing/log.ts';
import type { LogReader, RecordedEvent } from './types.ts';

/** A client that calls the handlers with encoded messages, as gRPC does. */
function wired(logs: LogReader[], answers: Buffer[] = [], ending = new AbortController().signal): LogClient {
  const handlers = logHandlers(logs, () => Promise.reject(new Error('not used')), ending);
  const { readStreams, readLog, heads } = wire.LogServiceService;
  const note = (bytes: Buffer) => {
    answers.push(bytes);
    return bytes;
  };
  return {
    readStreams: async (request) =>
      readStreams.responseDeserialize(
        note(
          readStreams.responseSerialize(
            await handlers.readStreams(readStreams.requestDeserialize(readStreams.requestSerialize(request))),
          ),
        ),
      ),
    readLog: async (request) =>
      readLog.responseDeserialize(
        note(
          readLog.responseSerialize(
            await handlers.readLog(readLog.requestDeserialize(readLog.requestSerialize(request)), {
              signal: new AbortController().signal,
            }),
          ),
        ),
      ),
    heads: async (request) =>
      heads.responseDeserialize(
        note(heads.responseSerialize(await handlers.heads(heads.requestDeserialize(heads.requestSerialize(request))))),
      ),
  };
}

describeWith(['postgres'], 'a log read through LogService', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    for (const name of ['a', 'b', 'a']) await fresh.log.append(someAppend(`orders.order/${name}`, 'any', ['1', '2']));
  });
  afterAll(() => fresh.drop());

  test('gives the same results as the log itself', async () => {
    const remote = remoteLog({ domain: 'orders', client: wired([fresh.log]) });
    const cursors = ['a', 'b'].map((name) => ({ stream: `orders.order/${name}`, afterVersion: 1 }));
    expect(await remote.readStreams(cursors)).toEqual(await fresh.log.readStreams(cursors));
    expect(await remote.readStreams(cursors, { limit: 2 })).toEqual(await fresh.log.readStreams(cursors, { limit: 2 }));
    expect(await remote.readLog(1, { limit: 3 })).toEqual(await fresh.log.readLog(1, { limit: 3 }));
    expect(await remote.readLog(6, { waitMs: 20 })).toEqual({ events: [], head: 6 });
    expect(await remote.heads(0)).toEqual(await fresh.log.heads(0));
    expect(await remote.heads(6)).toEqual({ heads: [], position: 6 });
  });

  test('heads have no contents, except for a process of version 0.2, which asks for them', async () => {
    const { heads } = logHandlers(
      [fresh.log],
      () => Promise.reject(new Error('not used')),
      new AbortController().signal,
    );
    const request = { domain: 'orders', afterPosition: 0n, minAgeMillis: 0, limit: 0 };
    const bare = await heads({ ...request, bare: true });
    expect(bare.heads.map(({ stream, version, data }) => [stream, version, data.length])).toEqual([
      ['orders.order/b', 2n, 0],
      ['orders.order/a', 4n, 0],
    ]);
    const whole = await heads({ ...request, bare: false });
    const { events } = await fresh.log.readLog(0);
    expect(whole.heads.map(({ eventId }) => eventId)).toEqual([events[3]!.eventId, events[5]!.eventId]);
    expect(whole.heads.map(({ data }) => data.toString())).toEqual(['2', '2']);
    expect(whole.position).toBe(bare.position);
  });

  test('calls that wait for events are answered when the process ends', async () => {
    const ending = new AbortController();
    const remote = remoteLog({ domain: 'orders', client: wired([fresh.log], [], ending.signal) });
    const began = performance.now();
    const waiting = remote.readLog(6, { waitMs: 10_000 });
    setTimeout(() => ending.abort(), 20);
    expect(await waiting).toEqual({ events: [], head: 6 });
    expect(performance.now() - began).toBeLessThan(5_000);
    // Not at once, since readers call again until they have found another server.
    const again = performance.now();
    expect(await remote.readLog(6, { waitMs: 10_000 })).toEqual({ events: [], head: 6 });
    expect(performance.now() - again).toBeGreaterThan(200);
    expect(performance.now() - again).toBeLessThan(5_000);
  });

  test('another domain is NOT_FOUND', async () => {
    const remote = remoteLog({ domain: 'payments', client: wired([fresh.log]) });
    await expect(remote.readLog(0)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('answers stay below the size that gRPC allows, and no event is missing', async () => {
    const big = await freshLog('payments');
    const contents = Array.from({ length: 4 }, (_, n) => `${n}`.repeat(900_000));
    for (const name of ['a', 'b']) await big.log.append(someAppend(`payments.payment/${name}`, 0, contents));
    const answers: Buffer[] = [];
    const remote = remoteLog({ domain: 'payments', client: wired([big.log], answers) });
    // Not the contents themselves, since Jest takes long to compare megabytes.
    const outline = (events: RecordedEvent[]) => events.map(({ position, data }) => [position, data[0], data.length]);
    const all = outline((await big.log.readLog(0)).events);
    const cursors = ['a', 'b'].map((name) => ({ stream: `payments.payment/${name}`, afterVersion: 0 }));
    expect(outline(await remote.readStreams(cursors))).toEqual(all);
    expect(outline(await remote.readStreams(cursors, { limit: 5 }))).toEqual(all.slice(0, 5));
    const read: RecordedEvent[] = [];
    for (let head = 1; read.length < head; ) {
      const page = await remote.readLog(read.length);
      head = page.head;
      read.push(...page.events);
    }
    expect(outline(read)).toEqual(all);
    for (const name of ['c', 'd', 'e'])
      await big.log.append(someAppend(`payments.payment/${name}`, 0, contents.slice(0, 1)));
    const streams = new Set<string>();
    for (let position = 0; position < 11; ) {
      const page = await remote.heads(position);
      for (const head of page.heads) streams.add(`${head.stream}@${head.version}`);
      position = page.position;
    }
    expect([...streams].sort()).toEqual(['a@4', 'b@4', 'c@1', 'd@1', 'e@1'].map((head) => `payments.payment/${head}`));
    expect(Math.max(...answers.map(({ length }) => length))).toBeLessThan(4 * 1024 * 1024);
    await big.drop();
  });

  test('tells the epochs of a log that has lost its end, and of its events', async () => {
    const lossy = await freshLog();
    try {
      for (const name of ['1', '2', '3']) await lossy.log.append(someAppend('orders.order/a', 'any', [name]));
      const remote = remoteLog({ domain: 'orders', client: wired([lossy.log]) });
      let told = 0;
      remote.onEpoch!(() => told++);
      await remote.readLog(0);
      expect(remote.epochs!()).toEqual([]);
      await loseEnd(lossy.database, 2);
      const other = lossy.open().log;
      await other.append(someAppend('orders.order/a', 2, ['other 3']));
      const { events } = await remote.readLog(0);
      expect(events.map(({ epoch }) => epoch)).toEqual([undefined, undefined, other.epochs!()[0]!.number]);
      expect(remote.epochs!()).toEqual(other.epochs!());
      expect(told).toBe(1);
      expect(await remote.readStreams([{ stream: 'orders.order/a', afterVersion: 2 }])).toEqual(events.slice(2));
    } finally {
      await lossy.drop();
    }
  });
});
