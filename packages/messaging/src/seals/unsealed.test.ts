/** What messages without a seal lead to, on a log in memory: looks that find, and looks that are bounded. */

import type { LogReader, RecordedEvent, StreamCursor } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { expect, test } from '@jest/globals';
import { openUnsealed } from './unsealed.ts';

const eventOf = (stream: string, version: number) => ({ stream, version }) as RecordedEvent;

/** A log with so many events in each stream, and what it was asked. */
function given(lengths: Record<string, number>) {
  const asked: { cursors: StreamCursor[]; limit: number }[] = [];
  const state = { error: undefined as unknown };
  const log = {
    domain: 'orders',
    async readStreams(cursors: StreamCursor[], { limit = 1_000 } = {}) {
      asked.push({ cursors, limit });
      if (state.error) throw state.error;
      return cursors
        .toSorted((a, b) => (a.stream < b.stream ? -1 : 1))
        .flatMap(({ stream, afterVersion }) =>
          Array.from({ length: Math.max(0, Math.min(limit, (lengths[stream] ?? 0) - afterVersion)) }, (_, n) =>
            eventOf(stream, afterVersion + n + 1),
          ),
        )
        .slice(0, limit);
    },
  } as unknown as LogReader;
  const readUnsealed = openUnsealed({ handler: 'list.v1', logs: new Map([['orders', log]]) });
  const read = (places: [string, number][]) =>
    readUnsealed(
      places.map(([id, version]) => ({ stream: id.includes('/') ? id : `orders.order/${id}`, version })),
      new AbortController().signal,
    );
  return { asked, state, read };
}
const names = (events: RecordedEvent[]) => events.map(({ stream, version }) => `${stream.split('/')[1]}@${version}`);

test('what the log has at these places, and nothing of what it does not have', async () => {
  const { asked, read } = given({ 'orders.order/a': 3, 'orders.order/b': 1 });
  const events = await read([
    ['a', 3],
    ['a', 2],
    ['b', 1],
    ['b', 7],
    ['c', 1],
  ]);
  expect(names(events)).toEqual(['a@2', 'a@3', 'b@1']);
  expect(asked).toHaveLength(1);
});

test('names and versions that no log has are not asked for', async () => {
  const { asked, read } = given({});
  const odd: [string, number][] = [
    [`orders.order/${'x'.repeat(200)}`, 1],
    ['orders.order/a\u0000b', 1],
    ['a', 0],
    ['a', -1],
    ['a', 2 ** 31],
  ];
  expect(await read(odd)).toEqual([]);
  expect(asked).toEqual([]);
});

test('long streams in front do not keep others from being found, in a bounded number of looks', async () => {
  const { asked, read } = given({ 'orders.order/a': 10_000, 'orders.order/b': 2 });
  const events = await read([
    ['a', 1],
    ['b', 2],
  ]);
  expect(names(events).filter((name) => name.startsWith('b'))).toEqual(['b@2']);
  expect(asked.map(({ limit }) => limit)).toEqual([256, 256]);
});

test('many long streams are left to reconciliation after 32 looks', async () => {
  const ids = Array.from({ length: 60 }, (_, n) => `s${n}`);
  const { asked, read } = given(Object.fromEntries(ids.map((id) => [`orders.order/${id}`, 100_000])));
  await read(ids.map((id): [string, number] => [id, 1]));
  expect(asked).toHaveLength(32);
});

test('streams that do not exist cause looks up to a rate, and no longer at once', async () => {
  const { asked, read } = given({ 'orders.order/real': 1 });
  for (let batch = 0; batch < 100; batch++)
    await read(Array.from({ length: 64 }, (_, n): [string, number] => [`${batch}-${n}`, 1]));
  // 200 at once are four looks of 64; a few more while the test runs.
  expect(asked.length).toBeGreaterThanOrEqual(4);
  expect(asked.length).toBeLessThan(40);
});

test('a question that the log refuses is not repeated', async () => {
  const { asked, state, read } = given({ 'orders.order/a': 1 });
  state.error = new Error('no');
  expect(await read([['a', 1]])).toEqual([]);
  expect(asked).toHaveLength(1);
  state.error = undefined;
  expect(names(await read([['a', 1]]))).toEqual(['a@1']);
});

test('a log that is away is waited for, then left alone for a while', async () => {
  const { asked, state, read } = given({ 'orders.order/a': 1 });
  state.error = unavailable('the log');
  const reading = read([['a', 1]]);
  state.error = undefined;
  expect(names(await reading)).toEqual(['a@1']);

  state.error = unavailable('the log');
  expect(await read([['a', 1]])).toEqual([]);
  const before = asked.length;
  expect(await read([['a', 1]])).toEqual([]);
  expect(asked).toHaveLength(before);
}, 30_000);
