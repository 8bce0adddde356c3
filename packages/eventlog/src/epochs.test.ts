import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { appendBatch } from './append.ts';
import { endOf, isLost } from './epochs.ts';
import { someAppend, someCommand } from './testing/events.ts';
import { loseEnd, moveLog } from './testing/fail-over.ts';
import { freshLog, holdTurn } from './testing/log.ts';
import type { AppendResult, EventLog } from './types.ts';

const stream = 'orders.order/1';

let fresh: Awaited<ReturnType<typeof freshLog>>;
let log: EventLog;
beforeEach(async () => {
  fresh = await freshLog();
  log = fresh.log;
});
afterEach(() => fresh.drop());

async function appendAll(...contents: string[]): Promise<void> {
  for (const content of contents)
    expect(await log.append(someAppend(stream, 'any', [content]))).toMatchObject({ kind: 'appended' });
}

const contentsOf = async (of: EventLog = log) => {
  const { events } = await of.readLog(0);
  return events.map(({ data, epoch }) => [Buffer.from(data).toString(), epoch]);
};

describe('a log that has stayed in its place', () => {
  test('has the first epoch alone, which is not told', async () => {
    await appendAll('1', '2');
    expect(log.epochs!()).toEqual([]);
    expect(await contentsOf()).toEqual([
      ['1', undefined],
      ['2', undefined],
    ]);
  });
});

describe('a log that has lost its end', () => {
  test('notes an epoch; what was read, and what of it is lost, is told by epoch and position', async () => {
    await appendAll('1', '2', '3');
    const before = (await log.readLog(0)).events;
    await loseEnd(fresh.database, 2);
    expect(await contentsOf()).toEqual([
      ['1', undefined],
      ['2', undefined],
    ]);
    await appendAll('other 3');
    const [epoch, ...more] = log.epochs!();
    expect(more).toEqual([]);
    expect(epoch).toMatchObject({ after: 2 });
    expect(epoch!.number).toBeGreaterThan(Date.now() - 60_000);
    const after = (await log.readLog(0)).events;
    expect(after.map((event) => event.epoch)).toEqual([undefined, undefined, epoch!.number]);
    expect(before.map((event) => isLost(log.epochs!(), event))).toEqual([false, false, true]);
    expect(after.map((event) => isLost(log.epochs!(), event))).toEqual([false, false, false]);
    expect(endOf(log.epochs!(), { number: 0, after: 0 })).toBe(2);
    expect(endOf(log.epochs!(), epoch!)).toBe(Number.POSITIVE_INFINITY);
    expect((await log.readStreams([{ stream, afterVersion: 2 }]))[0]).toMatchObject({ epoch: epoch!.number });
    expect((await log.readLog(2)).events[0]).toMatchObject({ epoch: epoch!.number });
    expect((await log.heads(0)).heads).toEqual([{ stream, version: 3, position: 3 }]);
  });

  test('refuses appends of processes that do not know it yet, also if the version is the expected one again', async () => {
    await appendAll('1', '2', '3');
    let told = 0;
    log.onEpoch!(() => told++);
    await loseEnd(fresh.database, 2);
    const other = fresh.open();
    expect(await other.log.append(someAppend(stream, 2, ['other 3']))).toMatchObject({ kind: 'appended', version: 3 });
    const command = someCommand();
    const append = someAppend(stream, 3, ['4'], command);
    expect(await log.append(append)).toEqual({ kind: 'outdated' });
    expect(told).toBe(1);
    // The same object is of the former epoch for ever; a new decision is of the present one.
    expect(await log.append({ ...append })).toMatchObject({ kind: 'appended', version: 4 });
    expect((await contentsOf(other.log)).map(([content]) => content)).toEqual(['1', '2', 'other 3', '4']);
  });

  test('refuses what was made before and waits to be sent', async () => {
    await appendAll('1', '2', '3');
    await loseEnd(fresh.database, 2);
    const results: AppendResult[] = [];
    // The second waits for the first, whose stream it has.
    const first = log.append(someAppend(stream, 3, ['4'])).then((result) => results.push(result));
    await new Promise((resolve) => setImmediate(resolve));
    const second = log.append(someAppend(stream, 'any', ['5'])).then((result) => results.push(result));
    await Promise.all([first, second]);
    expect(results).toEqual([{ kind: 'outdated' }, { kind: 'outdated' }]);
    expect((await contentsOf()).map(([content]) => content)).toEqual(['1', '2']);
  });

  test('notes the epoch before the events of a process that knows of none, as of version 0.2', async () => {
    await appendAll('1', '2', '3');
    await loseEnd(fresh.database, 2);
    await appendBatch(fresh.database, [{ append: someAppend(stream, 2, ['other 3']), reliesOnRefused: false }]);
    expect(await contentsOf()).toEqual([
      ['1', undefined],
      ['2', undefined],
      ['other 3', log.epochs!()[0]!.number],
    ]);
    expect(log.epochs!()).toMatchObject([{ after: 2 }]);
  });

  test('two processes that notice it at once note one epoch', async () => {
    await appendAll('1');
    const others = [fresh.open().log, fresh.open().log, log];
    await Promise.all(others.map((each) => each.readLog(0)));
    await loseEnd(fresh.database, 0);
    await Promise.all(others.map((each) => each.readLog(0)));
    expect(await fresh.database.query({ text: 'SELECT number FROM epochs' })).toHaveLength(2);
    for (const each of others) expect(each.epochs!()).toMatchObject([{ after: 0 }]);
  });

  test('keeps no snapshot of what is lost', async () => {
    await appendAll('1', '2', '3');
    await loseEnd(fresh.database, 2);
    const snapshot = { version: 3, schemaVersion: 1, data: Buffer.from('of 3') };
    await expect(log.saveSnapshot(stream, snapshot)).rejects.toMatchObject({ code: 'CDEPO' });
    expect(await log.loadSnapshot(stream)).toBeUndefined();
    await log.readLog(0);
    await log.saveSnapshot(stream, { ...snapshot, version: 2 });
    expect(await log.loadSnapshot(stream)).toMatchObject({ version: 2 });
  });

  test('a second loss is another epoch, whose number is higher also if the clock was set back', async () => {
    await appendAll('1', '2', '3');
    await loseEnd(fresh.database, 2);
    await log.readLog(0);
    await appendAll('other 3');
    await fresh.database.query({ text: 'UPDATE epochs SET number = number + 1000000000 WHERE number > 0' });
    await moveLog(fresh.database);
    await log.readLog(0);
    const epochs = log.epochs!();
    expect(epochs).toMatchObject([{ after: 2 }, { after: 3 }]);
    expect(epochs[1]!.number).toBe(epochs[0]!.number + 1);
    expect(isLost(epochs, { position: 3 })).toBe(true);
    expect(isLost(epochs, { epoch: epochs[0]!.number, position: 3 })).toBe(false);
    expect(isLost(epochs, { epoch: epochs[0]!.number, position: 4 })).toBe(true);
  });
});

test('of an epoch that the log has never had, as that of another standby that was promoted, nothing is in it', () => {
  const epochs = [
    { number: 10, after: 100 },
    { number: 30, after: 300 },
  ];
  expect(isLost(epochs, { epoch: 20, position: 1 })).toBe(true);
  expect(isLost(epochs, { epoch: 40, position: 1 })).toBe(true);
  expect(isLost([], { epoch: 40, position: 1 })).toBe(true);
  // A checkpoint of it goes back to where that one began, or the next known one.
  expect(endOf(epochs, { number: 20, after: 200 })).toBe(200);
  expect(endOf(epochs, { number: 20, after: 350 })).toBe(300);
  expect(endOf(epochs, { number: 40, after: 400 })).toBe(400);
});

test('a log that has become shorter in its place, as after a snapshot of the disk was restored, begins an epoch', async () => {
  await appendAll('1', '2', '3');
  await log.readLog(0);
  await loseEnd(fresh.database, 1, { moved: false });
  await appendAll('other 2');
  expect(await contentsOf()).toMatchObject([
    ['1', undefined],
    ['other 2', undefined],
  ]);
  // It ended at 2 when that was noticed: what was written before it was is not told from what was lost.
  expect(log.epochs!()).toMatchObject([{ after: 2 }]);
});

test('an epoch that an operator begins refuses what is decided before, also if it waits for its turn', async () => {
  await appendAll('1');
  let release = () => {};
  const held = fresh.database.transaction(async (tx) => {
    await holdTurn(tx);
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    await tx.query({ text: 'SELECT begin_epoch(true, 0)' });
  });
  const appending = fresh.open().log.append(someAppend(stream, 'any', ['2']));
  const waits =
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
  await until(async () => (await fresh.database.query({ text: waits })).length > 0);
  release();
  await held;
  expect(await appending).toEqual({ kind: 'outdated' });
  await log.readLog(0);
  expect(log.epochs!()).toMatchObject([{ after: 0 }]);
});

test('another server, another timeline and another place in the same server are another epoch each', async () => {
  await appendAll('1');
  for (const [n, text] of ["server = '1 t'", "timeline = '000000FF'", 'place = 1', "timeline = ''"].entries()) {
    await fresh.database.query({ text: `UPDATE epochs SET ${text} WHERE number = (SELECT max(number) FROM epochs)` });
    await log.readLog(0);
    expect(log.epochs!()).toHaveLength(n + 1);
  }
});

test('a server that does not tell its identifier or its timeline has one epoch', async () => {
  const text = `CREATE OR REPLACE FUNCTION log_server() RETURNS text LANGUAGE sql AS $$
    SELECT set_config('caudal.server', '0 f', false) $$`;
  await fresh.database.query({ text });
  const other = fresh.open();
  await other.log.append(someAppend(stream, 'any', ['1']));
  await other.log.append(someAppend(stream, 'any', ['2']));
  // From telling it to not telling it is another place.
  expect(other.log.epochs!()).toMatchObject([{ after: 0 }]);
});

test('a log restored from a dump into the same server goes on in another epoch', async () => {
  await appendAll('1');
  const { place } = (
    await fresh.database.query<{ place: number }>({ text: "SELECT 'epochs'::regclass::oid::int AS place" })
  )[0]!;
  // As a restore does: the table is made anew, its rows are copied.
  await fresh.database.query({ text: 'CREATE TABLE restored (LIKE epochs INCLUDING ALL)' });
  await fresh.database.query({ text: 'INSERT INTO restored SELECT * FROM epochs' });
  await fresh.database.query({ text: 'DROP TABLE epochs' });
  await fresh.database.query({ text: 'ALTER TABLE restored RENAME TO epochs' });
  const other = fresh.open();
  await other.log.append(someAppend(stream, 'any', ['2']));
  expect(await other.database.query({ text: 'SELECT after FROM epochs WHERE place <> $1', values: [place] })).toEqual([
    { after: 1 },
  ]);
});
