import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { selectStreamHeads } from '../streams.ts';
import { someAppend, someCommand } from '../testing/events.ts';
import { archiveNow, folderArchive, oldLog, onlyIn, tablesOfEvents, throughout } from '../testing/old-log.ts';
import { restoreMonth } from './restore-month.ts';

describeWith(['postgres'], 'a log whose old months have left', () => {
  let target: Awaited<ReturnType<typeof folderArchive>>;
  let old: Awaited<ReturnType<typeof oldLog>>;
  beforeAll(async () => {
    target = await folderArchive();
    old = await oldLog(target.store);
  }, 60_000);
  afterAll(async () => {
    await old.drop();
    await target.remove();
  });

  test('has them in the archive and not in the database', async () => {
    const before = await tablesOfEvents(old.database);
    const moved = await archiveNow(old, target.store);
    expect(moved).toHaveLength(4);
    const after = await tablesOfEvents(old.database);
    expect(before.filter((name) => !after.includes(name))).toEqual(
      moved.map((month) => `events_${month.replace('-', '_')}`),
    );
    expect(await archiveNow(old, target.store)).toEqual([]);
  });

  test('is read as before, in every way', async () => {
    const { log } = old.open();
    for (const limit of [1, 3, 7, 1_000]) {
      const read = [];
      for (let last = 0; ; last = read.at(-1)!.position) {
        const { events, head } = await log.readLog(last, { limit });
        expect(head).toBe(old.events.length);
        expect(events.length).toBe(Math.min(limit, head - last));
        if (events.length === 0) break;
        read.push(...events);
      }
      expect(read).toEqual(old.events);
    }
    const names = [...new Set(old.events.map(({ stream }) => stream))];
    const cursors = names.map((stream) => ({ stream, afterVersion: 0 }));
    const inOrder = names
      .map((name) => Buffer.from(name))
      .sort(Buffer.compare)
      .flatMap((name) => old.events.filter(({ stream }) => stream === name.toString()));
    for (const limit of [1, 4, 17, 1_000])
      expect(await log.readStreams(cursors, { limit })).toEqual(inOrder.slice(0, limit));
    for (const afterVersion of [0, 1, 2, 3, 8, 11])
      expect(await log.readStreams([{ stream: throughout, afterVersion }])).toEqual(
        old.events.filter(({ stream, version }) => stream === throughout && version > afterVersion),
      );
  });

  test('its heads are found', async () => {
    const found = new Map<string, number>();
    for (let at = 0; ; ) {
      const { heads, position } = await old.log.heads(at, { limit: 4 });
      if (heads.length === 0) break;
      for (const { stream, version } of heads) found.set(stream, version);
      expect(position).toBeGreaterThan(at);
      at = position;
    }
    const versions = new Map(old.events.map(({ stream, version }) => [stream, version]));
    expect(found).toEqual(versions);
    expect(
      new Map((await selectStreamHeads(old.database, { limit: 1_000 })).map((h) => [h.stream, h.version])),
    ).toEqual(versions);
  });

  test('takes appends to streams whose events are all archived, without the archive', async () => {
    const { log } = old.open({ archive: undefined });
    expect(await log.append(someAppend(onlyIn(0), 0, ['x']))).toMatchObject({
      kind: 'conflict',
      version: 3,
      missing: [],
    });
    expect(await log.append(someAppend(onlyIn(0), 'must-exist', []))).toMatchObject({ kind: 'appended', version: 3 });
    expect(await log.append(someAppend(onlyIn(0), 2, ['x']))).toMatchObject({ kind: 'conflict', version: 3 });
    expect(await log.append(someAppend(onlyIn(1), 3, ['x'], someCommand()))).toMatchObject({
      kind: 'appended',
      version: 4,
    });
    expect(await log.append(someAppend(onlyIn(1), 4, ['x']))).toMatchObject({ kind: 'appended', version: 5 });
    expect(await log.append(someAppend('orders.order/nowhere', 'must-exist', ['x']))).toMatchObject({
      kind: 'conflict',
      version: 0,
    });
    expect(await log.readStreams([{ stream: onlyIn(1), afterVersion: 3 }])).toHaveLength(2);
    expect(await log.readStreams([{ stream: onlyIn(0), afterVersion: 3 }])).toEqual([]);
    await expect(log.readStreams([{ stream: onlyIn(0), afterVersion: 2 }])).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'ARCHIVE_UNAVAILABLE',
    });
  });

  test('a month can be put back', async () => {
    const { log } = old.open();
    const before = (await log.readLog(0)).events;
    const [{ month }] = (await old.database.query<{ month: string }>({
      text: "SELECT to_char(min(month), 'YYYY-MM') AS month FROM archived_months",
    })) as [{ month: string }];
    const options = { ...old, domain: 'orders', month, days: 30, signal: new AbortController().signal };
    expect(await restoreMonth(options)).toBe(11);
    expect(await restoreMonth(options)).toBeUndefined();
    expect((await log.readLog(0)).events).toEqual(before);
    expect(await tablesOfEvents(old.database)).toContain(`events_${month.replace('-', '_')}`);
    expect(await archiveNow(old, target.store)).toEqual([]);
    await old.database.query({ text: "UPDATE restored_months SET until = log_clock() - interval '1 second'" });
    expect(await archiveNow(old, target.store)).toEqual([month]);
    expect((await log.readLog(0)).events).toEqual(before);
  });
});
