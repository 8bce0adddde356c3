import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { someAppend, someCommand, someEvent, summary } from './testing/events.ts';
import { freshLog, holdTurn, setClockAhead } from './testing/log.ts';
import type { Append, AppendResult, EventLog } from './types.ts';

describeWith(['postgres'], 'append', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let log: EventLog;
  /** A stream of the test's own. */
  let stream: string;
  let streams = 0;
  beforeAll(async () => {
    fresh = await freshLog();
    log = fresh.log;
  });
  afterAll(() => fresh.drop());
  beforeEach(() => {
    stream = `orders.order/${streams++}`;
  });

  /** Appends that share a batch. */
  const together = (...appends: Append[]) => Promise.all(appends.map((append) => log.append(append)));
  const kinds = (results: AppendResult[]) => results.map(({ kind }) => kind);
  const contents = async (name = stream) => {
    const events = await log.readStreams([{ stream: name, afterVersion: 0 }]);
    expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1));
    return summary(events).map(([, , content]) => content);
  };

  test('events are read as they were appended', async () => {
    const event = { ...someEvent(), data: Buffer.from([0, 255, 92]), metadata: Buffer.alloc(0), schemaVersion: 7 };
    const result = await log.append({ stream, expected: 0, events: [event, someEvent('second')] });
    if (result.kind !== 'appended') throw new Error(result.kind);
    const [first, second] = await log.readStreams([{ stream, afterVersion: 0 }]);
    const { position, recordedAt } = result;
    expect(first).toEqual({ ...event, stream, version: 1, position: position - 1, recordedAt });
    expect(second).toMatchObject({ version: 2, position });
    expect(result.version).toBe(2);
  });

  test('a stale version is a conflict, with the events that the caller lacks; nothing lands', async () => {
    await log.append(someAppend(stream, 0, ['a', 'b', 'c']));
    const result = await log.append(someAppend(stream, 1, ['stale']));
    if (result.kind !== 'conflict') throw new Error(result.kind);
    expect(result.version).toBe(3);
    expect(summary(result.missing)).toEqual([
      [stream, 2, 'b'],
      [stream, 3, 'c'],
    ]);
    expect(result.missing).toEqual(await log.readStreams([{ stream, afterVersion: 1 }]));
    expect(await log.append(someAppend(stream, 0, ['stale create']))).toMatchObject({ kind: 'conflict', version: 3 });
    expect(await log.append(someAppend(stream, 4, ['ahead']))).toEqual({ kind: 'conflict', version: 3, missing: [] });
    expect(await contents()).toEqual(['a', 'b', 'c']);
  });

  test('a conflict has at most 1,000 missing events', async () => {
    await log.append(someAppend(stream, 0, Array(1_100).fill('x')));
    const result = await log.append(someAppend(stream, 50));
    if (result.kind !== 'conflict') throw new Error(result.kind);
    expect(result.missing.map(({ version }) => version)).toEqual(Array.from({ length: 1_000 }, (_, n) => n + 51));
  });

  test("'must-exist' and 'any'", async () => {
    expect(await log.append(someAppend(stream, 'must-exist'))).toEqual({ kind: 'conflict', version: 0, missing: [] });
    expect(await log.append(someAppend(stream, 'any', ['a']))).toMatchObject({ kind: 'appended', version: 1 });
    expect(await log.append(someAppend(stream, 'must-exist', ['b']))).toMatchObject({ kind: 'appended', version: 2 });
    expect(await contents()).toEqual(['a', 'b']);
  });

  test('of many creates of one stream, from several processes, one lands', async () => {
    const logs = [log, fresh.open().log, fresh.open().log];
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, n) => logs[n % 3]!.append(someAppend(stream, 0, [`${n}`]))),
    );
    expect(kinds(results).filter((kind) => kind === 'appended')).toHaveLength(1);
    expect(await contents()).toEqual([`${results.findIndex(({ kind }) => kind === 'appended')}`]);
  });

  describe('commands', () => {
    test('a repeat gets the first result, also with another stream, expected version or reply', async () => {
      const command = someCommand();
      await log.append(someAppend(stream, 0, ['a'], command));
      await log.append(someAppend(stream, 1, ['b']));
      const first = { kind: 'duplicate', stream, version: 1, reply: Buffer.from('reply') };
      expect(await log.append(someAppend(stream, 0, ['a'], command))).toEqual(first);
      expect(await log.append(someAppend(stream, 2, ['a'], { ...command, reply: Buffer.from('x') }))).toEqual(first);
      expect(await log.append(someAppend('orders.order/elsewhere', 0, ['a'], command))).toEqual(first);
      expect(await contents()).toEqual(['a', 'b']);
      expect(await contents('orders.order/elsewhere')).toEqual([]);
    });

    test('the same key with other content is reused', async () => {
      const { key } = await someCommand();
      await log.append(someAppend(stream, 0, ['a'], someCommand('one', 'reply', key)));
      expect(await log.append(someAppend(stream, 1, ['b'], someCommand('two', 'reply', key)))).toEqual({
        kind: 'reused',
      });
      expect(await contents()).toEqual(['a']);
    });

    test('a refused command is not stored', async () => {
      const command = someCommand();
      expect(await log.append(someAppend(stream, 5, ['a'], command))).toMatchObject({ kind: 'conflict' });
      expect(await log.append(someAppend(stream, 0, ['a'], command))).toMatchObject({ kind: 'appended' });
    });

    test('without events only the command is stored', async () => {
      const command = someCommand();
      await log.append(someAppend(stream, 0, ['a']));
      const { head } = await log.readLog(0);
      const append = { stream, expected: 1, events: [], command };
      expect(await log.append(append)).toMatchObject({ kind: 'appended', version: 1, position: 0 });
      expect(await log.append(append)).toMatchObject({ kind: 'duplicate', version: 1 });
      expect((await log.readLog(0)).head).toBe(head);
    });

    test('without a reply the key is only looked up', async () => {
      const { reply: _, ...lookup } = someCommand();
      const ask = (expected: number) => log.append({ stream, expected, events: [], command: lookup });
      expect(await ask(0)).toMatchObject({ kind: 'appended', version: 0, position: 0 });
      expect(await ask(3)).toMatchObject({ kind: 'conflict', version: 0 });
      await log.append(someAppend(stream, 0, ['a'], { ...lookup, reply: Buffer.from('r') }));
      expect(await ask(3)).toMatchObject({ kind: 'duplicate', version: 1 });
    });

    test('the same key twice in one batch lands once; the second one is sent again and is a duplicate', async () => {
      const command = someCommand();
      const results = await together(
        someAppend(stream, 0, ['a'], command),
        someAppend(`${stream}-other`, 0, ['a'], command),
      );
      expect(kinds(results)).toEqual(['appended', 'conflict']);
      expect(await log.append(someAppend(`${stream}-other`, 0, ['a'], command))).toMatchObject({
        kind: 'duplicate',
        stream,
      });
      expect(await contents(`${stream}-other`)).toEqual([]);
    });
  });

  describe('in one batch', () => {
    test('one conflict fails alone', async () => {
      const [a, b, c] = [`${stream}-a`, `${stream}-b`, `${stream}-c`];
      const results = await together(someAppend(a, 0), someAppend(b, 7), someAppend(c, 0));
      expect(kinds(results)).toEqual(['appended', 'conflict', 'appended']);
      const [first, , third] = results as { position: number }[];
      expect(third!.position).toBe(first!.position + 1);
      expect(await contents(b)).toEqual([]);
    });

    test('a chain lands in its order, each with its own version and position', async () => {
      const results = await together(
        someAppend(stream, 0, ['a', 'b']),
        someAppend(stream, 2, ['c']),
        { stream, expected: 3, events: [] },
        someAppend(stream, 'must-exist', ['d', 'e']),
        someAppend(stream, 5, ['f']),
      );
      expect(results.map((result) => 'version' in result && result.version)).toEqual([2, 3, 3, 5, 6]);
      expect(kinds(results)).toEqual(Array(5).fill('appended'));
      expect(await contents()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    });

    test('if one of a chain is refused, those that rely on it are refused too, others are not', async () => {
      await log.append(someAppend(stream, 0, ['a', 'b']));
      const other = `${stream}-other`;
      const results = await together(
        someAppend(stream, 1, ['stale']),
        // The stream has this version, but the append was decided on the success of the stale one.
        someAppend(stream, 2, ['relies']),
        someAppend(other, 0, ['other']),
        someAppend(stream, 'any', ['any']),
        someAppend(stream, 3, ['relies on both']),
        { stream, expected: 3, events: [] },
      );
      expect(kinds(results)).toEqual(['conflict', 'conflict', 'appended', 'appended', 'conflict', 'conflict']);
      expect(results[1]).toMatchObject({ version: 3, missing: [{ version: 3 }] });
      expect(await contents()).toEqual(['a', 'b', 'any']);
    });

    test('of a chain that has lost only the first append gets all missing events', async () => {
      await log.append(someAppend(stream, 0, ['a', 'b', 'c', 'd']));
      const results = await together(
        someAppend(stream, 1, ['first']),
        someAppend(stream, 2, ['second']),
        someAppend(stream, 1, ['by itself']),
        someAppend(`${stream}-other`, 0, ['other']),
        someAppend(stream, 4, ['fourth']),
      );
      expect(kinds(results)).toEqual(['conflict', 'conflict', 'conflict', 'appended', 'conflict']);
      const missing = results.map((result) => result.kind === 'conflict' && summary(result.missing).map(([, v]) => v));
      expect(missing).toEqual([[2, 3, 4], [3], [2, 3, 4], false, []]);
    });

    test('no append relies on one without events', async () => {
      const results = await together({ stream, expected: 7, events: [] }, someAppend(stream, 0, ['a']));
      expect(kinds(results)).toEqual(['conflict', 'appended']);
    });

    test('a duplicate is a refusal for those that rely on it', async () => {
      const command = someCommand();
      await log.append(someAppend(stream, 0, ['a'], command));
      const later = someCommand();
      await log.append(someAppend(stream, 1, ['b'], later));
      const results = await together(
        someAppend(stream, 2, ['a'], command),
        someAppend(stream, 2, ['c']),
        someAppend(stream, 3, ['b'], later),
      );
      expect(kinds(results)).toEqual(['duplicate', 'conflict', 'duplicate']);
      expect(await contents()).toEqual(['a', 'b']);
    });

    test("'must-exist' finds a stream that an append before it creates, unless that one is refused", async () => {
      const landed = await together(someAppend(stream, 0, ['a']), someAppend(stream, 'must-exist', ['b']));
      expect(kinds(landed)).toEqual(['appended', 'appended']);
      const none = `${stream}-none`;
      const refused = await together(someAppend(none, 3, ['a']), someAppend(none, 'must-exist', ['b']));
      expect(kinds(refused)).toEqual(['conflict', 'conflict']);
      expect(await contents(none)).toEqual([]);
    });

    test('a wrong append fails alone', async () => {
      const wrong = { ...someAppend(`${stream}-wrong`, 0), stream: `${stream}\u0000` };
      const badId = { ...someAppend(`${stream}-bad`, 0), events: [{ ...someEvent(), eventId: 'no uuid' }] };
      const results = await Promise.allSettled([
        log.append(someAppend(stream, 0, ['a'])),
        log.append(wrong),
        log.append(badId),
        log.append(someAppend(stream, 1, ['b'])),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'fulfilled']);
      expect(await contents()).toEqual(['a', 'b']);
    });
  });

  test('an append relies on an earlier one of its stream that was not settled, also across batches', async () => {
    const holder = fresh.open().database;
    await log.append(someAppend(stream, 0, ['a', 'b']));
    const results: Promise<AppendResult>[] = [];
    await holder.transaction(async (tx) => {
      await holdTurn(tx);
      results.push(log.append(someAppend(stream, 1, ['stale'])));
      // The first batch is in flight and waits for its turn, so the next append is part of another batch.
      for (let waiting = 0; waiting === 0; ) {
        const rows = await fresh.database.query({ text: 'SELECT 1 FROM pg_locks WHERE NOT granted' });
        waiting = rows.length;
      }
      results.push(log.append(someAppend(stream, 2, ['relies'])));
    });
    expect(kinds(await Promise.all(results))).toEqual(['conflict', 'conflict']);
    expect(await contents()).toEqual(['a', 'b']);
    expect(await log.append(someAppend(stream, 2, ['c']))).toMatchObject({ kind: 'appended' });
  });

  test('an empty append does not wait for the holder of the log', async () => {
    const holder = fresh.open().database;
    await holder.transaction(async (tx) => {
      await holdTurn(tx);
      expect(await log.append({ stream, expected: 0, events: [] })).toMatchObject({ kind: 'appended' });
    });
  });

  test('recorded_at never goes back, even if the clock does', async () => {
    const apart = await freshLog();
    await apart.log.append(someAppend(stream, 0));
    await setClockAhead(apart.database, '1 day');
    await apart.log.append(someAppend(stream, 1));
    await setClockAhead(apart.database, '0');
    await apart.log.append(someAppend(stream, 2));
    const { events } = await apart.log.readLog(0);
    const times = events.map(({ recordedAt }) => recordedAt.getTime());
    expect(times[1]).toBeGreaterThanOrEqual(times[0]! + 86_400_000);
    expect(times[2]).toBe(times[1]);
    await apart.drop();
  });
});
