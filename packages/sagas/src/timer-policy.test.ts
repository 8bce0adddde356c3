import { stock } from '@caudal/contract/entities.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { expect, test } from '@jest/globals';
import { useDatabase } from './testing/postgres.ts';
import { recorded, testClock } from './testing/world.ts';
import { createTimerPolicy } from './timer-policy.ts';

const expireTime = new Date('2026-01-01T00:15:00Z');
const reserved = (version: number, reservationId = 'r1') =>
  recorded(stock, 'P1', version, {
    $case: 'reserved',
    value: { reservationId, quantity: 1n, expireTime, available: 4n },
  });
const ended = (version: number, reservationId = 'r1') =>
  recorded(stock, 'P1', version, { $case: 'expired', value: { reservationId, quantity: 1n, available: 5n } });

describeWith(['postgres'], 'a timer policy', () => {
  const db = useDatabase();
  let count = 0;

  function setUp(fire: (id: string) => Promise<Date | undefined> = async () => undefined) {
    const { clock } = testClock();
    const policy = createTimerPolicy({
      name: `policy-${count++}`,
      entity: stock,
      timers: {
        reserved: ({ value }, { id }) => ({ id: `${id}/${value.reservationId}`, dueAt: value.expireTime }),
        expired: ({ value }, { id }) => ({ id: `${id}/${value.reservationId}`, dueAt: undefined }),
      },
      fire,
      database: db.database,
      clock,
    });
    return { policy, clock, timers: () => db.timers(policy.name) };
  }
  const due = (handler: string, retries = 0) => ({ handler, id: 'P1/r1', retries, version: 1 });

  test('sets and unsets timers by events', async () => {
    const { policy, timers } = setUp();
    expect(policy).toMatchObject({ entities: ['inventory.stock'] });
    expect(await policy.handle([reserved(1), reserved(2, 'r2')])).toEqual([]);
    expect(await timers()).toEqual([
      { id: 'P1/r1', dueAt: expireTime, retries: 0, version: 1 },
      { id: 'P1/r2', dueAt: expireTime, retries: 0, version: 2 },
    ]);
    expect(await policy.handle([ended(3)])).toEqual([]);
    expect((await timers()).map(({ id }) => id)).toEqual(['P1/r2']);
    expect(await seenBy(policy, [ended(3)])).toEqual([3]);
  });

  test('a repeated event sets nothing again', async () => {
    const { policy, timers } = setUp();
    await policy.handle([reserved(1), ended(2)]);
    expect(await policy.handle([reserved(1)])).toEqual([]);
    expect(await timers()).toEqual([]);
  });

  test('reports gaps, and events that it can not handle', async () => {
    const { policy, timers } = setUp();
    expect(await policy.handle([reserved(1), ended(3)])).toEqual([
      { kind: 'gap', stream: 'inventory.stock/P1', seen: 1 },
    ]);
    const bad = { ...ended(2), schemaVersion: 7 };
    expect(await policy.handle([bad, ended(3)])).toEqual([{ kind: 'failed', event: bad, error: expect.any(Error) }]);
    expect(await seenBy(policy, [bad])).toEqual([1]);
    expect((await timers()).length).toBe(1);
  });

  test('is done, or returns when to fire again', async () => {
    const again = new Date('2026-01-01T01:00:00Z');
    const answers = [again, undefined];
    const asked: string[] = [];
    const { policy } = setUp(async (id) => {
      asked.push(id);
      return answers.shift();
    });
    expect(await policy.fire(due(policy.name, 4))).toEqual({ dueAt: again, retries: 0, version: 1 });
    expect(await policy.fire(due(policy.name))).toEqual({ dueAt: undefined, retries: 0, version: 1 });
    expect(asked).toEqual(['P1/r1', 'P1/r1']);
  });

  test('tries again later after a transient error; any other is thrown', async () => {
    const errors = [unavailable('PostgreSQL'), new Error('a bug')];
    const { policy, clock } = setUp(async () => {
      throw errors.shift();
    });
    const { dueAt, retries } = await policy.fire(due(policy.name, 2));
    const pause = dueAt!.getTime() - clock().getTime();
    expect([retries, pause >= 1000, pause <= 2000]).toEqual([3, true, true]);
    await expect(policy.fire(due(policy.name))).rejects.toThrow('a bug');
  });
});
