/** What `evolve` may return, and what happens to a view when it returns something else. */
import { type EventOf, order, wallet } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { describe, expect, test } from '@jest/globals';
import { type Followed, followEvent } from './events.ts';
import { foldHistory, foldView } from './fold.ts';
import type { StoredDocument } from './stores/store.ts';
import { confirmed, created, type Details, deposited, details, movements, testLogs } from './testing/projections.ts';
import { deleted, type Evolved, type Follow, ignored, type Projection } from './types.ts';

const stored: StoredDocument = {
  id: 'o1',
  revision: 1,
  streams: { 'orders.order/o1': 1 },
  view: details.codec.toJSON({ customer: 'ann', status: 'created', total: 1n, paid: false, created: undefined }),
};

function answering<V>(projection: Projection<V>, evolve: Follow<V>['evolve']): Projection<V> {
  return { ...projection, follows: projection.follows.map((follow) => ({ ...follow, evolve })) };
}

/** Versions 1 and 2 of an order. */
async function events<V>(projection: Projection<V>): Promise<[Followed<V>, Followed<V>]> {
  const recorded = await testLogs().append(order, 'o1', created('ann'), confirmed);
  return recorded.map((event: RecordedEvent) => followEvent(projection, event)!) as [Followed<V>, Followed<V>];
}

describe('a view', () => {
  test('is what evolve returns, ends only by "deleted", and stays unchanged by "ignored"', async () => {
    const fold = async (answer: unknown, before?: StoredDocument) => {
      const projection = answering(details, () => answer as never);
      const [first, second] = await events(projection);
      return foldView(projection, 'o1', before, [before ? second : first]);
    };
    expect(await fold(ignored, stored)).toMatchObject({
      unfinished: [],
      write: { revision: 2, streams: { 'orders.order/o1': 2 }, view: stored.view },
    });
    expect((await fold(deleted, stored)).write).toMatchObject({ streams: { 'orders.order/o1': 2 }, view: undefined });
    expect((await fold(deleted, stored)).write).toHaveProperty('view', undefined);
    for (const word of [ignored, deleted]) {
      const { write, unfinished } = await fold(word);
      expect([write!.view, write!.streams, unfinished]).toEqual([undefined, { 'orders.order/o1': 1 }, []]);
    }
  });

  test('that keeps its texts says so, so that they are not cut and indexed again', async () => {
    const titled = {
      ...details,
      keys: { ...details.keys, title: { type: 'text' as const, of: ({ customer }: Details) => customer } },
    };
    const fold = async (change: Partial<Details>, before?: StoredDocument) => {
      const projection = answering(titled, (view) => ({ ...(view ?? details.codec.fromJSON(stored.view)), ...change }));
      const [first, second] = await events(projection);
      return foldView(projection, 'o1', before, [before ? second : first]).write!.sameTexts;
    };
    expect(await fold({ total: 2n }, stored)).toBe(true);
    expect(await fold({ customer: 'ben' }, stored)).toBe(false);
    expect(await fold({})).toBeFalsy();
    expect(await fold({}, { ...stored, view: undefined })).toBeFalsy();
  });

  test('that evolve does not return fails its event: no tombstone is written', async () => {
    for (const nothing of [undefined, null]) {
      const projection = answering(details, () => nothing as never);
      for (const before of [undefined, stored]) {
        const followed = (await events(projection))[before ? 1 : 0];
        const { write, unfinished } = foldView(projection, 'o1', before, [followed]);
        expect(write).toBeUndefined();
        expect(unfinished).toEqual([
          {
            kind: 'failed',
            event: followed.recorded,
            error: new Error(
              `test-details: evolve gives ${nothing} for "${followed.projected.event.$case}" of orders.order/o1: it must give the view, or the word deleted or ignored`,
            ),
          },
        ]);
      }
    }
  });

  test('can not be forgotten without a type error', () => {
    type Evolve = Follow<string, EventOf<typeof order>>['evolve'];
    // @ts-expect-error a case without a result
    const forgetful: Evolve = (_, { event }) => (event.$case === 'created' ? 'a' : undefined);
    // @ts-expect-error a switch that lacks a case of the contract
    const outgrown = (event: EventOf<typeof order>): Evolved<string> => {
      switch (event.$case) {
        case 'created':
          return 'a';
      }
    };
    const explicit: Evolve = (_, { event }) => (event.$case === 'created' ? 'a' : ignored);
    expect([forgetful, outgrown, explicit]).toHaveLength(3);
  });
});

test('evolve of a history returns an entry or "ignored"; nothing, or "deleted", fails its event', async () => {
  const [recorded] = await testLogs().append(wallet, 'w1', deposited(1n));
  const fold = (answer: unknown) => {
    const projection = answering(movements, () => answer as never);
    return foldHistory(projection, recorded!.stream, undefined, [followEvent(projection, recorded!)!]);
  };
  expect(fold({ wallet: 'w1', amount: 1n }).entries.map(({ id }) => id)).toEqual([recorded!.eventId]);
  expect(fold(ignored)).toMatchObject({ entries: [], unfinished: [], write: { streams: { [recorded!.stream]: 1 } } });
  for (const wrong of [undefined, deleted]) {
    const { entries, write, unfinished } = fold(wrong);
    expect([entries, write, unfinished.length]).toEqual([[], undefined, 1]);
  }
});
