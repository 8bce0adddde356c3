/** Folding in parts: the order, the bounds, and errors. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { createRandom } from '@caudal/testing/random.ts';
import { expect, test } from '@jest/globals';
import type { LogPage } from '../read-logs.ts';
import { commonPositions, foldInParts, newParts } from './parts.ts';

const event = (stream: string, position: number) => ({ stream, position }) as RecordedEvent;

/** A log of events of 20 streams, in pages of 10. */
function pagesOf(events: RecordedEvent[], onRead: (page: number) => void = () => {}) {
  return async function* (after = 0): AsyncIterable<LogPage> {
    const left = events.filter(({ position }) => position > after);
    for (let place = 0; place < left.length; place += 10) {
      const page = left.slice(place, place + 10);
      onRead(page.at(-1)!.position / 10);
      yield { domain: 'orders', events: page, position: page.at(-1)!.position, head: events.length };
    }
  };
}

const all = Array.from({ length: 200 }, (_, n) => event(`orders.order/${n % 20}`, n + 1));

test('each stream is folded in its order, by one batch at a time, whatever fails meanwhile, and never twice', async () => {
  const random = createRandom(5, 'parts');
  for (let round = 0; round < 30; round++) {
    const parts = newParts(4);
    const folded = new Map<string, number[]>();
    const busy = new Set<string>();
    const fold = async (events: RecordedEvent[]) => {
      const streams = new Set(events.map(({ stream }) => stream));
      for (const stream of streams) expect(busy.has(stream)).toBe(false);
      for (const stream of streams) busy.add(stream);
      await sleep(random.int(0, 1));
      for (const stream of streams) busy.delete(stream);
      if (random.chance(0.1)) throw new Error('outage');
      for (const { stream, position } of events) folded.set(stream, [...(folded.get(stream) ?? []), position]);
    };
    const done: number[] = [];
    const pages = pagesOf(all);
    for (let open = true; open; ) {
      const from = commonPositions(parts).get('orders') ?? 0;
      const onDone = ({ position }: LogPage) => done.push(position);
      await foldInParts({ pages: pages(from), parts, fold, onDone }).then(
        () => {
          open = false;
        },
        (error: Error) => expect(error.message).toBe('outage'),
      );
    }
    for (let n = 0; n < 20; n++)
      expect(folded.get(`orders.order/${n}`)).toEqual(Array.from({ length: 10 }, (_, turn) => turn * 20 + n + 1));
    expect(commonPositions(parts)).toEqual(new Map([['orders', 200]]));
    expect(parts.reduce((sum, { events }) => sum + events, 0)).toBe(200);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
  }
});

test('at most four pages are in memory, and a slow part holds the others up', async () => {
  let read = 0;
  let finish = () => {};
  const slow = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const parts = newParts(4);
  const pages = pagesOf(all, (page) => {
    read = page;
  });
  const fold = (events: RecordedEvent[]) =>
    events.some(({ stream }) => stream === 'orders.order/7') ? slow : Promise.resolve();
  const done: number[] = [];
  const folding = foldInParts({ pages: pages(), parts, fold, onDone: ({ position }) => done.push(position) });
  await sleep(20);
  expect(read).toBeLessThanOrEqual(4);
  expect(done).toEqual([]);
  finish();
  await folding;
  expect(done).toHaveLength(20);
});

test('an error of the reader is thrown after what is in flight', async () => {
  const parts = newParts(2);
  let ended = 0;
  const fold = async () => {
    await sleep(5);
    ended += 1;
  };
  async function* broken(): AsyncIterable<LogPage> {
    for await (const page of pagesOf(all)()) {
      if (page.position > 20) throw new Error('gone');
      yield page;
    }
  }
  await expect(foldInParts({ pages: broken(), parts, fold, onDone() {} })).rejects.toThrow('gone');
  expect(ended).toBe(4);
  expect(commonPositions(parts).get('orders')).toBe(20);
});
