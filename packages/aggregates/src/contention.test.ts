import { setImmediate as tick } from 'node:timers/promises';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { add } from './testing/purse.ts';
import { fairLocks } from './testing/stream-locks.ts';

const stream = 'test.purse/a';

describe('a contended stream', () => {
  let now: number;
  /** Before this many of the next calls, the other process writes to the stream. */
  let overtakes: number;
  /** How many appends each call of the process had. */
  let calls: number[];
  let locks: ReturnType<typeof fairLocks>;
  let own: ReturnType<typeof openAggregates>;
  let other: ReturnType<typeof openAggregates>;

  beforeEach(() => {
    now = 0;
    overtakes = 0;
    calls = [];
    locks = fairLocks();
    const log = memoryLog({
      domain: 'test',
      async call(judge, appends) {
        calls.push(appends.length);
        if (overtakes > 0) {
          overtakes--;
          await other.execute(add('a', 1));
        }
        judge();
      },
    });
    const options = { clock: systemClock, ids: newId, elapsed: () => now };
    own = openAggregates({ ...options, log: { ...log, lockStream: locks.lockStream } });
    other = openAggregates({ ...options, log: log.connect() });
  });

  async function settle(): Promise<void> {
    for (let n = 0; n < 30; n++) await tick();
  }

  /** A command loses so often that the stream counts as contended, and lands under the lock. */
  async function becomeContended(): Promise<void> {
    overtakes = 3;
    await own.execute(add('a', 1));
    expect(locks.granted).toBe(1);
  }

  test('does not count as contended if a race is lost now and then', async () => {
    for (let n = 0; n < 5; n++) {
      overtakes = 2;
      await own.execute(add('a', 1));
    }
    expect(locks.granted).toBe(0);
  });

  test('counts as contended if two races are lost within a second while many commands wait', async () => {
    const many = async () => {
      await Promise.all(Array.from({ length: 20 }, () => own.execute(add('a', 1))));
      await settle();
    };
    for (let n = 0; n < 3; n++) {
      overtakes = 1;
      await many();
      now += 1_000;
    }
    expect(locks.granted).toBe(0);
    overtakes = 2;
    await many();
    expect(locks.granted).toBe(1);
  });

  test('is locked after a command has lost three times, until no lock was waited for during a second', async () => {
    await becomeContended();
    for (let n = 0; n < 3; n++) {
      now += 300;
      await own.execute(add('a', 1));
    }
    expect(locks.granted).toBe(4);
    now += 300;
    await own.execute(add('a', 1));
    expect(locks.granted).toBe(4);
  });

  test('stays contended as long as locks are waited for', async () => {
    await becomeContended();
    for (let n = 0; n < 5; n++) {
      now += 900;
      const end = await locks.lockStream(stream);
      const done = own.execute(add('a', 1));
      await settle();
      now += 20;
      end();
      await done;
    }
    expect(locks.granted).toBe(11);
  });

  test('waits for its lock, then reads what was written during the wait: no race is lost', async () => {
    await becomeContended();
    const end = await locks.lockStream(stream);
    calls = [];
    const done = own.execute(add('a', 1));
    for (let n = 0; n < 5; n++) await other.execute(add('a', 1));
    await settle();
    expect(calls).toEqual([]);
    end();
    expect((await done).version).toBe(10);
    expect(calls).toEqual([1]);
  });

  test('releases its lock once the time is over, and at once if there is nothing to do', async () => {
    await becomeContended();
    await settle();
    expect(locks.wanted).toBe(0);

    let going = true;
    const clients = Array.from({ length: 20 }, async () => {
      while (going) await own.execute(add('a', 1));
    });
    while (locks.wanted === 0) await tick();
    const asked = locks.lockStream(stream);
    let had = false;
    void asked.then(() => {
      had = true;
    });
    await settle();
    expect(had).toBe(false);
    now += 50;
    const end = await asked;
    const before = calls.length;
    await settle();
    expect(calls.length).toBe(before);
    going = false;
    end();
    await Promise.all(clients);
    await settle();
    expect(locks.wanted).toBe(0);
  });

  test('gets only a few commands in the call after a lost race', async () => {
    overtakes = 1;
    await Promise.all(Array.from({ length: 60 }, () => own.execute(add('a', 1))));
    expect(calls).toEqual([60, 8, 52]);
  });

  test('releases its lock if the callers have cancelled their commands', async () => {
    await becomeContended();
    const end = await locks.lockStream(stream);
    const caller = new AbortController();
    const done = own.execute(add('a', 1, { signal: caller.signal }));
    await settle();
    caller.abort();
    await expect(done).rejects.toMatchObject({ code: 'CANCELLED' });
    end();
    await settle();
    expect(locks.wanted).toBe(0);
    await own.drain();
  });
});
