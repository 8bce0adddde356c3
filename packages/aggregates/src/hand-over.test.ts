/** The queue with an owner elsewhere: which commands leave it, and when. */
import { setImmediate as tick } from 'node:timers/promises';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { ForwardToOwner, type Route } from '@caudal/kernel/forward.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import type { Owners } from './owners.ts';
import { move } from './testing/moves.ts';
import { add } from './testing/purse.ts';
import { fairLocks } from './testing/stream-locks.ts';

const route: Route = {
  stream: 'test.purse/a',
  address: 'owner:9090',
  instance: 'owner',
  answered: () => {},
  lost: async () => {},
  refused: () => {},
};

/** What is known of the stream's owner. */
let owner: 'none' | 'elsewhere' | 'sought';
let goOn: (() => void)[];
let contended: number;
let locks: ReturnType<typeof fairLocks>;
let overtakes: number;
/** Streams that were read. */
let read: string[];
let own: ReturnType<typeof openAggregates>;
let other: ReturnType<typeof openAggregates>;

beforeEach(() => {
  owner = 'none';
  goOn = [];
  contended = 0;
  overtakes = 0;
  read = [];
  locks = fairLocks();
  const owners: Owners = {
    ownerOf(_, again) {
      if (owner === 'sought') goOn.push(again);
      if (owner === 'elsewhere') return new ForwardToOwner(route);
      return owner === 'sought' ? 'sought' : undefined;
    },
    async contended() {
      contended++;
      owner = 'elsewhere';
      return true;
    },
    owns: () => false,
    ownedMs: () => 0,
    retire: async () => {},
  };
  const log = memoryLog({
    domain: 'test',
    async call(judge) {
      if (overtakes > 0) {
        overtakes--;
        await other.execute(add('a', 1));
      }
      judge();
    },
  });
  const options = { clock: systemClock, ids: newId };
  const client: EventLog = {
    ...log,
    lockStream: locks.lockStream,
    readStreams(cursors, how) {
      read.push(...cursors.map(({ stream }) => stream));
      return log.readStreams(cursors, how);
    },
  };
  own = openAggregates({ ...options, log: client, owners });
  other = openAggregates({ ...options, log: log.connect() });
});

const settle = async () => {
  for (let n = 0; n < 20; n++) await tick();
};
const forwardable = (amount = 1) => own.execute(add('a', amount, { forwardable: true }));

test('a forwardable command leaves for the owner; others are decided here', async () => {
  owner = 'elsewhere';
  await expect(forwardable()).rejects.toBeInstanceOf(ForwardToOwner);
  expect((await own.execute(add('a', 5))).reply).toEqual({ balance: 5, version: 1 });
  await own.drain();
});

test('a forwardable unit leaves before it reads its streams', async () => {
  owner = 'elsewhere';
  const unit = own.executeUnit(move(['a', 'cold'], 1, { forwardable: true }));
  await expect(unit).rejects.toBeInstanceOf(ForwardToOwner);
  expect(read).toEqual([]);
  await own.drain();
});

test('commands that have lost races leave at once when an owner is found: nothing of them has landed', async () => {
  overtakes = 3;
  await expect(forwardable(100)).rejects.toBeInstanceOf(ForwardToOwner);
  expect(contended).toBe(1);
  owner = 'none';
  expect((await own.execute(add('a', 1))).reply.balance).toBe(4);
  await own.drain();
});

test('while the next owner is sought, commands wait and can be cancelled; then they go on', async () => {
  owner = 'sought';
  const caller = new AbortController();
  const given = own.execute(add('a', 1, { signal: caller.signal })).catch((error: unknown) => error);
  const kept = own.execute(add('a', 2));
  await settle();
  expect(goOn.length).toBeGreaterThan(0);
  caller.abort();
  expect(await given).toMatchObject({ code: 'CANCELLED' });
  owner = 'none';
  for (const again of goOn) again();
  expect((await kept).reply).toEqual({ balance: 2, version: 1 });
  await own.drain();
});

test('no lock is held while the next owner is sought', async () => {
  overtakes = 3;
  const contending = own.execute(add('a', 1));
  await contending;
  owner = 'none';
  const held = own.execute(add('a', 1));
  owner = 'sought';
  const waiting = own.execute(add('a', 1));
  await settle();
  expect(locks.wanted).toBe(0);
  owner = 'none';
  for (const again of goOn) again();
  await Promise.all([held, waiting]);
  await own.drain();
  expect(locks.wanted).toBe(0);
});
