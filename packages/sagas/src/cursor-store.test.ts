import { describeWith } from '@caudal/testing/describe-with.ts';
import { expect, test } from '@jest/globals';
import { readSeen, seenOf, takeDueTimers, writeCursors } from './cursor-store.ts';
import { useDatabase } from './testing/postgres.ts';
import { confirmed } from './testing/world.ts';
import type { TimerChange } from './types.ts';

const start = new Date('2026-01-01T00:00:00Z').getTime();
const at = (seconds: number) => new Date(start + seconds * 1000);
const set = (id: string, version: number, dueAt = at(0), retries = 0): TimerChange => ({ id, version, dueAt, retries });
const unset = (id: string, version: number): TimerChange => ({ id, version, dueAt: undefined, retries: 0 });

describeWith(['postgres'], 'the cursor store', () => {
  const db = useDatabase();
  let count = 0;
  const newHandler = () => `handler-${count++}.process`;

  test('cursors never go back, and each handler has its own', async () => {
    const [handler, other] = [newHandler(), newHandler()];
    await writeCursors(
      db.database,
      handler,
      new Map([
        ['s1', { version: 5 }],
        ['s2', { version: 1, position: 7 }],
      ]),
      [],
    );
    await writeCursors(
      db.database,
      handler,
      new Map([
        ['s1', { version: 3 }],
        ['s2', { version: 2 }],
      ]),
      [],
    );
    await writeCursors(db.database, other, new Map([['s1', { version: 1 }]]), []);
    expect((await readSeen(db.database, handler, ['s1', 's2', 's3'])).versions).toEqual(
      new Map([
        ['s1', 5],
        ['s2', 2],
      ]),
    );
    await writeCursors(db.database, handler, new Map([[confirmed('a').stream, { version: 2 }]]), []);
    expect(await seenOf(db.database, handler, [confirmed('b'), confirmed('a')])).toEqual([0, 2]);
  });

  test('a late change of an older version does not undo a newer one', async () => {
    const handler = newHandler();
    const write = (...changes: TimerChange[]) => writeCursors(db.database, handler, new Map(), changes);
    await write(set('a', 5, at(50), 3));
    await write(set('a', 4, at(40)));
    await write(unset('a', 4));
    expect(await db.timers(handler)).toEqual([{ id: 'a', dueAt: at(50), retries: 3, version: 5 }]);
    await write(set('a', 5, at(55), 4));
    expect(await db.timers(handler)).toEqual([{ id: 'a', dueAt: at(55), retries: 4, version: 5 }]);
    await write(unset('a', 6));
    expect(await db.timers(handler)).toEqual([]);
  });

  test('a timer that is set late, after a newer state has unset it, fires once and can be unset again', async () => {
    const handler = newHandler();
    await writeCursors(db.database, handler, new Map(), [set('a', 5)]);
    await writeCursors(db.database, handler, new Map(), [unset('a', 6)]);
    await writeCursors(db.database, handler, new Map(), [set('a', 5)]);
    const take = () => takeDueTimers(db.database, { handlers: [handler], now: at(1), leaseMs: 60_000, limit: 10 });
    expect(await take()).toEqual([{ handler, id: 'a', retries: 0, version: 5 }]);
    await writeCursors(db.database, handler, new Map(), [unset('a', 6)]);
    expect(await db.timers(handler)).toEqual([]);
  });

  test('the last of several changes of one timer in a batch counts', async () => {
    const handler = newHandler();
    await writeCursors(db.database, handler, new Map(), [set('a', 1), unset('a', 2), set('b', 1), set('b', 2, at(2))]);
    expect(await db.timers(handler)).toEqual([{ id: 'b', dueAt: at(2), retries: 0, version: 2 }]);
  });

  test("writers with overlapping rows don't lock each other out", async () => {
    const handler = newHandler();
    const ids = Array.from({ length: 200 }, (_, index) => `t${index}`);
    const streams = (reverse: boolean) => new Map((reverse ? ids.toReversed() : ids).map((id) => [id, { version: 1 }]));
    await writeCursors(
      db.database,
      handler,
      new Map(),
      ids.map((id) => set(id, 1)),
    );
    // Each sets what the other unsets.
    const write = (round: number, odd: number) => {
      const changes = ids.map((id, index) => (index % 2 === odd ? set(id, round) : unset(id, round)));
      return writeCursors(db.database, handler, streams(odd === 1), odd ? changes : changes.toReversed());
    };
    for (let round = 2; round < 12; round++) {
      await Promise.all([write(round, 0), write(round, 1), write(round, 0), write(round, 1)]);
    }
    expect((await readSeen(db.database, handler, ids)).versions.size).toBe(200);
  });

  test('takers never get the same timer, nor more than their limit', async () => {
    const handler = newHandler();
    const ids = Array.from({ length: 100 }, (_, index) => `t${index}`);
    await writeCursors(
      db.database,
      handler,
      new Map(),
      ids.map((id) => set(id, 1)),
    );
    const taken: string[] = [];
    const take = async () => {
      for (;;) {
        const due = await takeDueTimers(db.database, { handlers: [handler], now: at(1), leaseMs: 60_000, limit: 7 });
        expect(due.length).toBeLessThanOrEqual(7);
        if (due.length === 0) return;
        taken.push(...due.map(({ id }) => id));
      }
    };
    await Promise.all([take(), take(), take(), take()]);
    // A taker that skipped locked rows may have found nothing before all were taken.
    await take();
    expect(taken.sort()).toEqual(ids.sort());
  });

  test('takes only due timers of these handlers, and those of a crashed taker after its lease', async () => {
    const [handler, other] = [newHandler(), newHandler()];
    await writeCursors(db.database, handler, new Map(), [set('due', 1, at(10), 2), set('later', 1, at(100))]);
    await writeCursors(db.database, other, new Map(), [set('due', 1, at(10))]);
    const takeAt = (seconds: number) =>
      takeDueTimers(db.database, { handlers: [handler], now: at(seconds), leaseMs: 60_000, limit: 10 });
    expect(await takeAt(9)).toEqual([]);
    expect(await takeAt(10)).toEqual([{ handler, id: 'due', retries: 2, version: 1 }]);
    expect(await takeAt(69)).toEqual([]);
    expect(await takeAt(70)).toEqual([{ handler, id: 'due', retries: 2, version: 1 }]);
  });
});
