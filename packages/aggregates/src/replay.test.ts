import { serialize } from 'node:v8';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations } from '@caudal/eventlog/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { checkLog, replayStream } from './replay.ts';
import { add, open, purse } from './testing/purse.ts';

const decider = { ...purse, snapshot: { every: 5, schemaVersion: 1 } };

describeWith(['postgres'], 'replay', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let log: ReturnType<typeof openEventLog>;

  beforeEach(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'test', sets: [migrations] });
    database = openDatabase({ url: fresh.url, schema: 'test', poolSize: 3 });
    log = openEventLog({ database, domain: 'test' });
    const aggregates = openAggregates({ log, clock: systemClock, ids: newId });
    for (const id of ['a', 'b', 'c']) {
      await aggregates.execute({ ...open(id), decider });
      await aggregates.execute({ ...add(id, 70, { parts: 7 }), decider });
    }
    await aggregates.drain();
  });
  afterEach(async () => {
    await log.stop();
    await database.close();
    await fresh.drop();
  });

  const check = () => checkLog({ database, log, deciders: [decider] });
  const sql = (text: string, ...values: unknown[]) => database.query({ text, values });

  test('folds a stream from its first event', async () => {
    const { state, version } = await replayStream({ log, decider, stream: 'test.purse/a' });
    expect({ state, version }).toMatchObject({ state: { owner: 'anna', balance: 70 }, version: 8 });
    expect((await replayStream({ log, decider, stream: 'test.purse/none' })).version).toBe(0);
  });

  test('finds nothing in a log that is whole', async () => {
    const seen: number[] = [];
    const report = await checkLog({
      database,
      log,
      deciders: [decider],
      onProgress: ({ done, total }) => seen.push(done / total),
    });
    expect(report).toEqual({ streams: 3, events: 24, snapshots: 3, wrong: 0, findings: [] });
    expect(seen.at(-1)).toBe(1);
  });

  test('finds a missing event, by position and by stream', async () => {
    await sql('DELETE FROM events WHERE position = 10');
    const { findings } = await check();
    expect(findings.map(({ kind, where }) => [kind, where])).toEqual([
      ['position', 'test 10'],
      ['stream', 'test.purse/b'],
    ]);
  });

  test("finds a stream's last event missing", async () => {
    await sql('DELETE FROM events WHERE position = 16');
    await sql('DELETE FROM snapshots');
    const { findings } = await check();
    expect(findings).toEqual([
      { kind: 'total', where: 'test', detail: 'the streams have 23 events, but the log ends at position 24' },
      { kind: 'position', where: 'test 16', detail: 'the event is missing' },
    ]);
  });

  test("finds the log's last event missing by a snapshot of its stream only: without one the log ends before", async () => {
    await sql('DELETE FROM events WHERE position = 24');
    const { findings } = await check();
    expect(findings).toEqual([
      { kind: 'stream', where: 'test.purse/c', detail: 'should end at version 8, but ends at 7' },
    ]);
    await sql('DELETE FROM snapshots');
    expect((await check()).findings).toEqual([]);
  });

  test('finds a stream whose events are missing', async () => {
    await sql("DELETE FROM events WHERE stream = 'test.purse/c'");
    await sql('DELETE FROM snapshots');
    expect((await check()).findings).toEqual([
      { kind: 'stream', where: 'test.purse/c', detail: 'its events are missing' },
    ]);
    await sql('DELETE FROM events');
    expect((await check()).findings.map(({ where }) => where)).toEqual([
      'test.purse/a',
      'test.purse/b',
      'test.purse/c',
    ]);
  });

  test('finds events without a stream, and streams without an entity', async () => {
    await sql("DELETE FROM stream_months WHERE stream = 'test.purse/a'");
    await sql("UPDATE stream_months SET stream = 'test.bag/c' WHERE stream = 'test.purse/c'");
    const { findings } = await check();
    expect(findings.map(({ kind, where }) => [kind, where])).toEqual([
      ['total', 'test'],
      ['stream', 'test.bag/c'],
    ]);
  });

  test('finds snapshots that differ from the events, or that can not be used', async () => {
    await sql("UPDATE snapshots SET data = $1 WHERE stream = 'test.purse/a'", serialize({ balance: 1 }));
    await sql("UPDATE snapshots SET data = $1 WHERE stream = 'test.purse/b'", Buffer.from('?'));
    await sql("UPDATE snapshots SET version = 50 WHERE stream = 'test.purse/c'");
    const { findings, wrong } = await check();
    expect(findings.map(({ kind, where }) => [kind, where])).toEqual([
      ['snapshot', 'test.purse/a'],
      ['snapshot', 'test.purse/b'],
      ['stream', 'test.purse/c'],
    ]);
    expect(wrong).toBe(3);
    await sql('UPDATE snapshots SET schema_version = 2');
    expect(await check()).toMatchObject({ snapshots: 0, wrong: 0 });
  });

  test('finds an event that cannot be decoded', async () => {
    await sql('UPDATE events SET data = $1 WHERE position = 3', Buffer.from('no json'));
    const { findings, streams } = await check();
    expect(findings).toMatchObject([{ kind: 'stream', where: 'test.purse/a' }]);
    expect(streams).toBe(3);
  });
});
