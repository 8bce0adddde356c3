/** What a stream sees of units that wait elsewhere. */
import { setImmediate as tick } from 'node:timers/promises';
import type { Append } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { move } from './testing/moves.ts';
import { add, purse } from './testing/purse.ts';

/** More commands than may be in flight: the others wait. */
const backlog = 300;
let held: PromiseWithResolvers<void> | undefined;
let sent: Append[];
let aggregates: ReturnType<typeof openAggregates>;

beforeEach(async () => {
  held = undefined;
  sent = [];
  const log = memoryLog({
    domain: 'test',
    async call(judge) {
      await tick();
      await held?.promise;
      judge();
    },
  });
  const watched: typeof log = {
    ...log,
    append(append) {
      sent.push(append);
      return log.append(append);
    },
  };
  aggregates = openAggregates({ log: watched, clock: systemClock, ids: newId, maxQueue: 400 });
  await Promise.all(['payer', 'shop'].map((name) => aggregates.execute(add(name, 100))));
  held = Promise.withResolvers();
  sent = [];
});

const settle = async () => {
  for (let n = 0; n < 50; n++) await tick();
};
const addTo = (name: string, times: number) => Array.from({ length: times }, () => aggregates.execute(add(name, 1)));
const sentTo = (name: string) => sent.filter(({ stream }) => stream === purse.entity.stream(name)).length;

test('a unit behind the backlog of its first stream does not hold up the others', async () => {
  const before = addTo('payer', backlog);
  const unit = aggregates.executeUnit(move(['payer', 'shop'], 5));
  const after = addTo('shop', 3);
  await settle();
  expect(sentTo('payer')).toBe(256);
  expect(sentTo('shop')).toBe(3);
  held!.resolve();
  await Promise.all([...before, ...after]);
  expect((await unit).reply).toEqual([
    { balance: 395, version: 302 },
    { balance: 108, version: 5 },
  ]);
  await aggregates.drain();
});

test('and takes none of their places; nor do those that are cancelled', async () => {
  const caller = new AbortController();
  const before = addTo('payer', backlog);
  const units = Array.from({ length: 60 }, (_, n) =>
    aggregates.executeUnit(move(['payer', 'shop'], 1, n % 2 === 0 ? { signal: caller.signal } : {})),
  );
  const outcomes = Promise.allSettled(units);
  const after = addTo('shop', 399);
  await settle();
  caller.abort();
  held!.resolve();
  await Promise.all([...before, ...after]);
  expect((await outcomes).filter(({ status }) => status === 'fulfilled')).toHaveLength(30);
  const { state } = await aggregates.load(purse, 'shop');
  expect(state.balance).toBe(100 + 399 + 30);
  await aggregates.drain();
});

test('a stream that units wait for elsewhere stays in memory', async () => {
  const before = addTo('payer', backlog);
  const unit = aggregates.executeUnit(move(['payer', 'shop'], 5));
  await settle();
  const drained = aggregates.drain();
  held!.resolve();
  await drained;
  await Promise.all([...before, unit]);
  expect((await aggregates.load(purse, 'shop')).state.balance).toBe(105);
});
