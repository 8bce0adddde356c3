import { archiveUnavailable } from '@caudal/archive-store/errors.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { openArchive } from '@caudal/eventlog/archive/archive.ts';
import { archiveNow } from '@caudal/eventlog/testing/archive-now.ts';
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog, setClockAhead } from '@caudal/eventlog/testing/log.ts';
import { folderArchive } from '@caudal/eventlog/testing/old-log.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { checkLog } from './replay.ts';
import { add, open, purse, take } from './testing/purse.ts';

const decider = { ...purse, snapshot: { every: 5, schemaVersion: 1 } };
const snapshotted = { decider };

describeWith(['postgres'], 'aggregates whose events are in the archive', () => {
  let target: Awaited<ReturnType<typeof folderArchive>>;
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  /** Undefined: the archive answers. */
  let broken: 'fails' | Promise<void> | undefined;
  let store: ArchiveStore;

  const aggregatesOf = (log: EventLog) => openAggregates({ log, clock: systemClock, ids: newId });
  /** As a process that has just started. */
  const opened = () => aggregatesOf(fresh.open({ archive: openArchive(store) }).log);

  beforeAll(async () => {
    target = await folderArchive();
    store = {
      ...target.store,
      async getRange(...of) {
        if (broken === 'fails') throw archiveUnavailable('here', 'it is away.');
        await broken;
        return target.store.getRange(...of);
      },
    };
    fresh = await freshLog('test', { archive: openArchive(store) });
    // On this clock encoding takes no time, so that no snapshot waits for it.
    const aggregates = openAggregates({ log: fresh.log, clock: systemClock, ids: newId, elapsed: () => 0 });
    for (const ago of [30, 29]) {
      await setClockAhead(fresh.database, `-${ago} months`);
      if (ago === 30) {
        for (const id of ['plain', 'both']) await aggregates.execute(open(id));
        await aggregates.execute({ ...open('kept'), ...snapshotted });
      }
      await aggregates.execute(add('plain', 70, { parts: 7 }));
      await aggregates.execute({ ...add('kept', 70, { parts: 7 }), ...snapshotted });
      await aggregates.execute(add('both', 10));
    }
    await aggregates.drain();
    await setClockAhead(fresh.database, '0 months');
    await aggregates.execute(add('both', 10));
    await until(async () => (await fresh.log.loadSnapshot('test.purse/kept'))?.version === 15);
    expect(await archiveNow(fresh, target.store, { domain: 'test' })).toHaveLength(2);
  }, 60_000);
  afterAll(async () => {
    await fresh.drop();
    await target.remove();
  });

  test('are loaded, over months of both kinds, and go on', async () => {
    const aggregates = opened();
    expect(await aggregates.load(purse, 'plain')).toMatchObject({
      version: 15,
      state: { balance: 140, owner: 'anna' },
    });
    expect(await aggregates.load(purse, 'both')).toMatchObject({ version: 4, state: { balance: 30 } });
    expect((await aggregates.execute(take('plain', 40))).reply).toEqual({ balance: 100, version: 16 });
    expect(await opened().load(purse, 'plain')).toMatchObject({ version: 16, state: { balance: 100 } });
  });

  test('while the archive is away: those with a snapshot and new ones go on, others are UNAVAILABLE', async () => {
    broken = 'fails';
    try {
      const aggregates = opened();
      const all = await Promise.allSettled([
        aggregates.execute(take('both', 1)),
        aggregates.execute({ ...take('kept', 40), ...snapshotted }),
        aggregates.execute(open('new')),
      ]);
      expect(all.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
      expect((all[0] as PromiseRejectedResult).reason).toMatchObject({
        code: 'UNAVAILABLE',
        reason: 'ARCHIVE_UNAVAILABLE',
      });
      expect(all[1]).toMatchObject({ value: { reply: { balance: 100, version: 16 } } });
    } finally {
      broken = undefined;
    }
    expect(await opened().load(purse, 'both')).toMatchObject({ version: 4 });
  });

  test('while the archive hangs, nothing waits for it that does not need it', async () => {
    const gate = Promise.withResolvers<void>();
    broken = gate.promise;
    const aggregates = opened();
    const waiting = Promise.all([aggregates.load(purse, 'plain'), aggregates.load(purse, 'both')]);
    let arrived = false;
    void waiting.then(() => {
      arrived = true;
    });
    for (const id of ['x', 'y', 'z']) await aggregates.execute(open(id));
    expect(await aggregates.load(decider, 'kept')).toMatchObject({ version: 16 });
    expect(arrived).toBe(false);
    gate.resolve();
    broken = undefined;
    expect(await waiting).toMatchObject([{ version: 16 }, { version: 4 }]);
  });

  test('the whole log is checked, snapshots too', async () => {
    const { database, log } = fresh.open();
    const report = await checkLog({ database, log, deciders: [decider] });
    expect(report).toMatchObject({ wrong: 0, streams: 7, snapshots: 1 });
    expect(report.events).toBe((await log.readLog(0, { limit: 1 })).head);
  });

  test('after a fail-over that has lost the last events, what was known of them is dropped, and the archive is read on', async () => {
    const { log } = fresh.open({ archive: openArchive(store) });
    const aggregates = aggregatesOf(log);
    expect(await aggregates.load(purse, 'plain')).toMatchObject({ version: 16 });
    const [kept] = await log.readStreams([{ stream: purse.entity.stream('both'), afterVersion: 3 }]);
    const after = kept!.position;
    await loseEnd(fresh.database, after);
    expect(await aggregates.load(purse, 'plain')).toMatchObject({ version: 15, state: { balance: 140 } });
    expect((await aggregates.execute(take('plain', 1))).reply).toEqual({ balance: 139, version: 16 });
    expect(log.epochs!()).toMatchObject([{ after }]);
    const { events, head } = await log.readLog(0);
    expect(head).toBe(after + 1);
    expect(events.map(({ epoch }) => epoch !== undefined)).toEqual(events.map((_, n) => n >= after));
    const { heads } = await log.heads(0);
    expect(heads.length).toBeGreaterThan(0);
  });
});
