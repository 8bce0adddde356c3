/** Aggregates over a log that loses its end in a fail-over: see docs/fail-over.md. */
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
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
