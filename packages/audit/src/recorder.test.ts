/** What the recorder writes, and by what it is bounded. The chain itself is chain.test.ts. */
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Statement, Transaction } from '@caudal/postgres/database.ts';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type Pending, parseBody } from './body.ts';
import { openRecorder, type Recorder } from './recorder.ts';
import { entry } from './testing/audit-log.ts';

/** A database that keeps what is added. */
function memory() {
  const batches: { bodies: Pending[]; durable: boolean }[] = [];
  let fail: ((bodies: string[]) => unknown) | undefined;
  const database: Transaction = {
    async query<R>({ values }: Statement) {
      const [list, durable] = values as [Buffer, boolean];
      const bodies = textsOf(list);
      const error = await fail?.(bodies);
      if (error) throw error;
      batches.push({ bodies: bodies.map(parseBody), durable });
      return [{ position: batches.length, hash: Buffer.alloc(32) }] as R[];
    },
  };
  return {
    batches,
    database,
    records: () => batches.flatMap(({ bodies }) => bodies),
    failWith(given: typeof fail) {
      fail = given;
    },
  };
}

/** The texts of an array in PostgreSQL's binary format. */
function textsOf(list: Buffer): string[] {
  const found: string[] = [];
  for (let at = 20; at < list.length; ) {
    const size = list.readInt32BE(at);
    found.push(list.toString('utf8', at + 4, at + 4 + size));
    at += 4 + size;
  }
  return found;
}

let store: ReturnType<typeof memory>;
let recorder: Recorder;
beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance', 'queueMicrotask', 'nextTick'] });
  store = memory();
  recorder = openRecorder({ database: store.database });
});
afterEach(async () => {
  store.failWith(undefined);
  await recorder.stop();
  jest.useRealTimers();
});
const settle = async () => {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
};
const pass = async (ms: number) => {
  await jest.advanceTimersByTimeAsync(ms);
  await settle();
};

const denial = (fields = {}) => entry({ kind: 'DENIAL', outcome: 'PERMISSION_MISSING', ...fields });
const read = (n: number, fields = {}) => entry({ kind: 'PERSONAL', resource: `c-${n}`, ...fields });

test('an act is written at once, and durably, with what has gathered; other records a second later, in one batch', async () => {
  recorder.note(read(1));
  recorder.note(read(2));
  await pass(500);
  expect(store.batches).toEqual([]);
  await pass(600);
  expect(store.batches.map(({ bodies, durable }) => [bodies.length, durable])).toEqual([[2, false]]);
  recorder.note(read(3));
  await recorder.write(entry({ outcome: 'BEGUN' }));
  expect(store.batches.map(({ bodies, durable }) => [bodies.length, durable])).toEqual([
    [2, false],
    [2, true],
  ]);
});

test('acts that come while a batch is under way share the next one', async () => {
  await Promise.all(Array.from({ length: 50 }, (_, n) => recorder.write(entry({ resource: `w-${n}` }))));
  expect(store.batches.map(({ bodies }) => bodies.length)).toEqual([1, 49]);
});

describe('denials', () => {
  test('of one caller: ten are records, the rest one with their number, in each minute', async () => {
    for (let n = 0; n < 1_000; n++) recorder.note(denial({ resource: `r-${n}` }));
    await pass(61_500);
    expect(store.records().map(({ count }) => count)).toEqual([...Array(10).fill(1), 990]);
    expect(store.records().at(-1)).toMatchObject({ subject: 'ada', resource: '', outcome: 'PERMISSION_MISSING' });
    recorder.note(denial());
    await pass(1_100);
    expect(store.records()).toHaveLength(12);
  });

  test('of any number of callers: a bounded number of records a minute, and no call uncounted', async () => {
    for (let n = 0; n < 20_000; n++) {
      recorder.note(denial({ subject: `s-${n % 5_000}` }));
      recorder.note(denial({ subject: '', address: `10.0.${n % 250}.${n % 200}`, outcome: `R_${n % 90}` }));
    }
    await pass(61_500);
    expect(store.records().reduce((sum, { count }) => sum + count, 0)).toBe(40_000);
    expect(store.records().length).toBeLessThanOrEqual(2 * (100 + 50 + 21));
  });

  test('of callers without a token leave room for those with one', async () => {
    for (let n = 0; n < 5_000; n++) recorder.note(denial({ subject: '', address: `10.1.${n % 250}.${n % 200}` }));
    recorder.note(denial({ subject: 'insider' }));
    await pass(1_100);
    expect(store.records().filter(({ subject }) => subject === 'insider')).toHaveLength(1);
  });
});

describe('reads of personal data', () => {
  test('of a caller are records of their own up to 600 a minute, then counted', async () => {
    for (let n = 0; n < 5_000; n++) recorder.note(read(n));
    await pass(61_500);
    expect(store.records()).toHaveLength(601);
    expect(store.records().at(-1)).toMatchObject({ count: 4_400, subject: 'ada', resource: '' });
  });

  test('of services are counted', async () => {
    for (let n = 0; n < 5_000; n++) recorder.note(read(n, { subject: 'service:orders' }));
    await pass(61_500);
    expect(store.records()).toEqual([expect.objectContaining({ count: 5_000, subject: 'service:orders' })]);
  });
});

describe("acts on callers' own resources", () => {
  const own = (n: number, fields = {}) =>
    entry({ outcome: 'OK', bounded: true, wrote: `payments.wallet/w@${n}`, ...fields });

  test('are records of their own up to 60 a caller and minute, then counted', async () => {
    for (let n = 0; n < 5_000; n++) recorder.note(own(n));
    await pass(61_500);
    expect(store.records()).toHaveLength(61);
    expect(store.records().at(-1)).toMatchObject({ kind: 'ACT', subject: 'ada', count: 4_940, wrote: '' });
  });

  test('of any number of callers: a bounded number of records a minute, no act uncounted, and no other record lost', async () => {
    for (let n = 0; n < 30_000; n++) recorder.note(own(n, { subject: `s-${n % 5_000}` }));
    recorder.note(entry({ resource: 'by hand' }));
    recorder.note(read(1));
    await pass(63_000);
    const acts = store.records().filter(({ kind, resource }) => kind === 'ACT' && resource !== 'by hand');
    expect(acts.reduce((sum, { count }) => sum + count, 0)).toBe(30_000);
    expect(acts.length).toBeLessThanOrEqual(1_000 + 500 + 1);
    expect(store.records().filter(({ resource }) => resource === 'by hand' || resource === 'c-1')).toHaveLength(2);
    expect(store.records().filter(({ outcome }) => outcome === 'LOST')).toEqual([]);
  });
});

describe('while the database is away', () => {
  const away = () => unavailable('PostgreSQL', new Error('refused'));

  test('an act is refused, and what was noted is kept, in its order', async () => {
    store.failWith(away);
    recorder.note(read(1));
    await expect(recorder.write(entry())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    recorder.note(read(2));
    await pass(5_000);
    expect(store.batches).toEqual([]);
    store.failWith(undefined);
    await pass(1_100);
    expect(store.records().map(({ resource }) => resource)).toEqual(['c-1', 'c-2']);
  });

  test('no more than 5,000 records wait; a record says how many were dropped', async () => {
    store.failWith(away);
    for (let n = 0; n < 7_000; n++) recorder.note(entry({ resource: `w-${n}` }));
    await pass(3_000);
    store.failWith(undefined);
    await pass(3_000);
    const lost = store.records().find(({ outcome }) => outcome === 'LOST');
    expect(lost?.count).toBe(2_000);
    expect(store.records()).toHaveLength(5_001);
  });

  test('those that come while a batch is under way are counted, if there is no room for all when it fails', async () => {
    let fail = (_: unknown) => {};
    const failed = new Promise((resolve) => {
      fail = resolve;
    });
    store.failWith(() => failed);
    for (let n = 0; n < 5_000; n++) recorder.note(entry({ resource: `w-${n}` }));
    await pass(1_100);
    for (let n = 0; n < 600; n++) recorder.note(entry({ resource: `late-${n}` }));
    store.failWith(undefined);
    fail(away());
    await pass(5_000);
    const lost = store.records().filter(({ outcome }) => outcome === 'LOST');
    expect([lost.map(({ count }) => count), store.records().length - lost.length]).toEqual([[600], 5_000]);
  });

  test('no more than 1,000 acts wait', async () => {
    const never = new Promise<never>(() => {});
    const stuck = openRecorder({ database: { query: () => never } });
    for (let n = 0; n < 1_500; n++) void stuck.write(entry()).catch(() => {});
    await expect(stuck.write(entry())).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'AUDIT_BUSY' });
  });
});

test('a record that the database refuses keeps neither acts nor other records from being written', async () => {
  store.failWith((bodies) =>
    bodies.some((body) => body.includes('bad')) ? new Error('invalid byte sequence') : undefined,
  );
  for (const resource of ['a', 'b', 'bad', 'c']) recorder.note(read(0, { resource }));
  await recorder.write(entry({ resource: 'act' }));
  await settle();
  expect(
    store
      .records()
      .map(({ resource }) => resource)
      .sort(),
  ).toEqual(['a', 'act', 'b', 'c']);
  await expect(recorder.write(entry({ resource: 'bad' }))).rejects.toThrow('invalid byte sequence');
});

test('stop writes what waits, and what is counted', async () => {
  for (let n = 0; n < 20; n++) recorder.note(denial());
  recorder.note(read(1));
  await recorder.stop();
  expect(store.records().reduce((sum, { count }) => sum + count, 0)).toBe(21);
});
