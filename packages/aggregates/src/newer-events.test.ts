import { NewerEvent } from '@caudal/contract/entity.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { add, purse, take } from './testing/purse.ts';

/** Purses of an older version, which does not know the event `taken`. */
const older: typeof purse = {
  ...purse,
  entity: {
    ...purse.entity,
    decode(event) {
      if (event.type === 'test.purse.taken.v1') throw new NewerEvent('taken');
      return purse.entity.decode(event);
    },
  },
};

test('a stream with an event of a newer version is UNAVAILABLE; other streams work', async () => {
  const shared = memoryLog({ domain: 'test' });
  const over = { clock: systemClock, ids: newId };
  const [newer, here] = [openAggregates({ log: shared, ...over }), openAggregates({ log: shared.connect(), ...over })];
  await here.execute(add('a', 5, { decider: older }));
  // `here` has read the first event only; the second arrives with the conflict.
  await newer.execute(take('a', 3));
  const needed = {
    code: 'UNAVAILABLE',
    reason: 'NEWER_VERSION_NEEDED',
    metadata: { stream: 'test.purse/a', version: '2' },
  };
  for (let attempt = 1; attempt <= 2; attempt++) {
    await expect(here.execute(add('a', 1, { decider: older }))).rejects.toMatchObject(needed);
    await expect(here.execute(take('a', 9, { decider: older }))).rejects.toMatchObject(needed);
    await expect(here.load(older, 'a')).rejects.toMatchObject(needed);
    await expect(here.loadAt(older, 'a', new Date())).rejects.toMatchObject(needed);
  }
  expect(shared.events).toHaveLength(2);
  expect((await here.execute(add('b', 1, { decider: older }))).reply).toEqual({ balance: 1, version: 1 });
  expect(await newer.load(purse, 'a')).toMatchObject({ state: { balance: 2 }, version: 2 });
});

test('an evolve that forgets an event fails its command: nothing is appended, and the state stays', async () => {
  const forgetful: typeof purse = {
    ...purse,
    evolve: (state, event, at) => (event.$case === 'taken' ? (undefined as never) : purse.evolve(state, event, at)),
  };
  const log = memoryLog({ domain: 'test' });
  const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
  await aggregates.execute(add('a', 5, { decider: forgetful }));
  const forgotten = 'test.purse: evolve gives no state for "taken"';
  await expect(aggregates.execute(take('a', 3, { decider: forgetful }))).rejects.toThrow(forgotten);
  expect(log.events).toHaveLength(1);
  expect((await aggregates.execute(add('a', 1, { decider: forgetful }))).reply).toEqual({ balance: 6, version: 2 });

  const elsewhere = openAggregates({ log: log.connect(), clock: systemClock, ids: newId });
  await elsewhere.execute(take('a', 3));
  await expect(aggregates.load(forgetful, 'a')).rejects.toThrow(forgotten);
});
