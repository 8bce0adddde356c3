/** Aggregates over a log that loses its end in a fail-over: see docs/fail-over.md. */
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { Append, AppendResult, EventLog } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { move } from './testing/moves.ts';
import { add, look, open, purse, take } from './testing/purse.ts';

let fresh: Awaited<ReturnType<typeof freshLog>>;
beforeEach(async () => {
  fresh = await freshLog('test');
});
afterEach(() => fresh.drop());

const over = (log: EventLog) => openAggregates({ log, clock: systemClock, ids: newId });
const balanceIn = async (aggregates: ReturnType<typeof over>) => (await aggregates.load(purse, 'a')).state.balance;

/** A purse of 100, of which this process alone remembers 1,000 more that are lost; `others` add as many events. */
async function loseThousand({ others }: { others: number }) {
  const aggregates = over(fresh.log);
  await aggregates.execute(open('a'));
  await aggregates.execute(add('a', 100));
  await aggregates.execute(add('a', 1_000, { requestId: 'thousand' }));
  await loseEnd(fresh.database, 2);
  const elsewhere = over(fresh.open().log);
  for (let n = 0; n < others; n++) await elsewhere.execute(add('a', 1));
  return { aggregates, elsewhere };
}

test('no command is decided on what was lost, also if others have reached its version again', async () => {
  for (const others of [0, 1, 2]) {
    const { aggregates, elsewhere } = await loseThousand({ others });
    await expect(aggregates.execute(take('a', 500))).rejects.toMatchObject({
      reason: 'PURSE_TOO_EMPTY',
      metadata: { balance: String(100 + others) },
    });
    const taken = await aggregates.execute(take('a', 50));
    expect(taken.reply).toEqual({ balance: 50 + others, version: 3 + others });
    expect(await balanceIn(elsewhere)).toBe(50 + others);
    await fresh.drop();
    fresh = await freshLog('test');
  }
});

test('a strong read returns nothing that was lost', async () => {
  const { aggregates } = await loseThousand({ others: 0 });
  expect(await balanceIn(aggregates)).toBe(100);
});

test('commands in flight are decided again on what the log has; all of them are done, in order', async () => {
  const { aggregates, elsewhere } = await loseThousand({ others: 1 });
  const all = Array.from({ length: 40 }, (_, n) => aggregates.execute(add('a', 1, { tag: String(n) })));
  const mean = await Promise.allSettled([...all, aggregates.execute(take('a', 900))]);
  expect(mean.at(-1)).toMatchObject({
    status: 'rejected',
    reason: { reason: 'PURSE_TOO_EMPTY', metadata: { balance: '141' } },
  });
  expect((await Promise.all(all)).map(({ reply }) => reply.balance)).toEqual(all.map((_, n) => 102 + n));
  expect(await balanceIn(elsewhere)).toBe(141);
});

test('a command that was lost is done again with its id; one that was not gets its first answer', async () => {
  const { aggregates } = await loseThousand({ others: 0 });
  const again = await aggregates.execute(add('a', 1_000, { requestId: 'thousand' }));
  expect(again).toMatchObject({ repeated: false, reply: { balance: 1_100 } });
  expect(await aggregates.execute(add('a', 1_000, { requestId: 'thousand' }))).toMatchObject({ repeated: true });
  expect((await aggregates.execute(look('a'))).reply.balance).toBe(1_100);
});

test('units in flight are decided again on what the log has of all their streams', async () => {
  const aggregates = over(fresh.log);
  await aggregates.execute(add('a', 100));
  await aggregates.execute(add('b', 100));
  await aggregates.execute(add('a', 1_000));
  await aggregates.executeUnit(move(['b', 'c'], 90));
  await loseEnd(fresh.database, 2);
  const elsewhere = over(fresh.open().log);
  await elsewhere.execute(add('c', 7));
  const all = [
    ...Array.from({ length: 10 }, (_, n) =>
      aggregates.executeUnit(move(['a', 'b', 'c'], 1, { requestId: `unit ${n}` })),
    ),
    ...Array.from({ length: 10 }, () => aggregates.execute(add('b', 1))),
    ...Array.from({ length: 10 }, () => aggregates.executeUnit(move(['b', 'a'], 1))),
  ];
  const tooMuch = aggregates.executeUnit(move(['a', 'c'], 500));
  await expect(tooMuch).rejects.toMatchObject({ reason: 'PURSE_TOO_EMPTY', metadata: { balance: '90' } });
  await Promise.all(all);
  const balances = await Promise.all(
    ['a', 'b', 'c'].map(async (id) => (await elsewhere.load(purse, id)).state.balance),
  );
  expect(balances).toEqual([90, 110, 17]);
  expect(await aggregates.executeUnit(move(['a', 'b', 'c'], 1, { requestId: 'unit 0' }))).toMatchObject({
    repeated: true,
  });
});

/** Aggregates over a log whose answers, and whose epoch, the test gives. */
function scripted() {
  const memory = memoryLog({ domain: 'test' });
  const sent: { append: Append; answer(result: AppendResult): void }[] = [];
  let isScripted = true;
  let listener = () => {};
  const log: EventLog = {
    ...memory,
    append(append) {
      if (!isScripted) return memory.append(append);
      const { promise, resolve } = Promise.withResolvers<AppendResult>();
      sent.push({ append, answer: resolve });
      return promise;
    },
    onEpoch: (called) => {
      listener = called;
      return () => {};
    },
  };
  return {
    aggregates: over(log),
    sent,
    changeEpoch: () => listener(),
    goOn() {
      isScripted = false;
    },
  };
}

const landed: AppendResult = { kind: 'appended', version: 1, position: 1, recordedAt: new Date() } as never;
const conflict = (missing: Append['events']): AppendResult =>
  ({ kind: 'conflict', version: missing.length, missing: missing.map((event) => ({ ...event, version: 1 })) }) as never;

test('an answer of a former epoch that comes late: what landed may be lost, and what did not is decided again', async () => {
  const { aggregates, sent, changeEpoch, goOn } = scripted();
  const commands = [1, 2, 3].map((n) => aggregates.execute(add('a', n)));
  await until(() => sent.length === 3);
  changeEpoch();
  goOn();
  sent[1]!.answer(conflict([]));
  sent[2]!.answer({ kind: 'outdated' });
  sent[0]!.answer(landed);
  await expect(commands[0]).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect((await commands[1]!).reply).toEqual({ balance: 2, version: 1 });
  expect((await commands[2]!).reply).toEqual({ balance: 5, version: 2 });
});

test('an answer that had come, but waits for others: a repeat that has landed is not done twice, others are decided again', async () => {
  const { aggregates, sent, changeEpoch, goOn } = scripted();
  const commands = [1, 2, 3].map((n) => aggregates.execute(add('a', n)));
  await until(() => sent.length === 3);
  sent[1]!.answer(conflict(sent[1]!.append.events));
  sent[2]!.answer(conflict([]));
  await Promise.resolve();
  changeEpoch();
  goOn();
  sent[0]!.answer({ kind: 'outdated' });
  await expect(commands[1]).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect((await commands[0]!).reply).toEqual({ balance: 1, version: 1 });
  expect((await commands[2]!).reply).toEqual({ balance: 4, version: 2 });
});

test('a queue whose only appends in flight had no events goes on', async () => {
  const { aggregates, sent, changeEpoch, goOn } = scripted();
  const looked = aggregates.execute(look('a'));
  await until(() => sent.length === 1);
  changeEpoch();
  goOn();
  sent[0]!.answer(landed);
  await expect(looked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect((await aggregates.execute(add('a', 1))).reply).toEqual({ balance: 1, version: 1 });
});
