import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { someAppend, someCommand, someEvent, summary } from './testing/events.ts';
import { freshLog, holdTurn } from './testing/log.ts';
import type { Append, AppendResult, EventLog } from './types.ts';

describeWith(['postgres'], 'appends of several streams', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let log: EventLog;
  /** Streams of the test's own. */
  let [a, b, c] = ['', '', ''];
  let tests = 0;
  beforeAll(async () => {
    fresh = await freshLog();
    log = fresh.log;
  });
  afterAll(() => fresh.drop());
  beforeEach(() => {
    [a, b, c] = ['a', 'b', 'c'].map((name) => `orders.order/${tests}-${name}`) as [string, string, string];
    tests++;
  });

  const together = (...appends: Append[]) => Promise.all(appends.map((append) => log.append(append)));
  const kinds = (results: AppendResult[]) => results.map(({ kind }) => kind);
  const unit = (first: Append, ...also: Append[]): Append => ({ ...first, also });
  const contents = async (...streams: string[]) =>
    summary(await log.readStreams(streams.map((stream) => ({ stream, afterVersion: 0 })))).map(
      ([stream, version, content]) => `${stream.slice(-1)}${version} ${content}`,
    );

  test('lands whole: its events have adjacent positions, in the order of its streams', async () => {
    await log.append(someAppend(b, 0, ['old']));
    const result = await log.append(unit(someAppend(a, 0, ['x', 'y']), someAppend(c, 'any'), someAppend(b, 1, ['z'])));
    expect(result).toMatchObject({ kind: 'appended', version: 2, also: [1, 2] });
    if (result.kind !== 'appended') throw new Error(result.kind);
    const { events } = await log.readLog(result.position - 4);
    expect(events.map(({ stream, version }) => [stream, version])).toEqual([
      [a, 1],
      [a, 2],
      [c, 1],
      [b, 2],
    ]);
    expect(new Set(events.map(({ recordedAt }) => recordedAt.getTime())).size).toBe(1);
  });

  test('does not land at all if one stream is not as expected; the conflict says what each stream lacks', async () => {
    await together(someAppend(a, 0, ['a']), someAppend(b, 0, ['b', 'bb']), someAppend(c, 0, ['c', 'cc', 'ccc']));
    const result = await log.append(unit(someAppend(a, 1, ['x']), someAppend(b, 0, ['y']), someAppend(c, 2, ['z'])));
    if (result.kind !== 'conflict') throw new Error(result.kind);
    expect(result).toMatchObject({ version: 1, missing: [] });
    expect(result.also!.map(({ version, missing }) => [version, ...missing.map((event) => event.version)])).toEqual([
      [2, 1, 2],
      [3, 3],
    ]);
    expect(await contents(a, b, c)).toEqual(['a1 a', 'b1 b', 'b2 bb', 'c1 c', 'c2 cc', 'c3 ccc']);
  });

  test('a stream without events in it is only checked', async () => {
    await log.append(someAppend(b, 0));
    const check = (expected: number) => log.append(unit(someAppend(a, 'any'), { stream: b, expected, events: [] }));
    expect(await check(0)).toMatchObject({ kind: 'conflict', version: 0, also: [{ version: 1 }] });
    expect(await check(1)).toMatchObject({ kind: 'appended', version: 1, also: [1] });
  });

  test('a command is of the unit: a repeat gets the first result, whatever its streams are now', async () => {
    const command = someCommand();
    const first = unit(someAppend(a, 0, ['x'], command), someAppend(b, 0, ['y']));
    await log.append(first);
    await log.append(someAppend(b, 1));
    expect(await log.append(first)).toMatchObject({ kind: 'duplicate', stream: a, version: 1 });
    expect(await contents(a)).toEqual(['a1 x']);
  });

  test('a refusal spreads in a batch along the streams of refused units, and only there', async () => {
    const results = await together(
      someAppend(a, 7, ['stale']),
      unit(someAppend(a, 8, ['relies on it']), someAppend(b, 0, ['b'])),
      unit(someAppend(b, 1, ['relies on that']), someAppend(c, 0, ['c'])),
      someAppend(c, 'any', ['c']),
      someAppend(`${c}c`, 0, ['other']),
      // It expects what the stream has now, but a refused unit would have added to it.
      someAppend(b, 0, ['b']),
    );
    expect(kinds(results)).toEqual(['conflict', 'conflict', 'conflict', 'appended', 'appended', 'conflict']);
    expect(await contents(a, b, c)).toEqual(['c1 c']);
  });

  test('a chain of units lands in its order', async () => {
    const results = await together(
      unit(someAppend(a, 0, ['1']), someAppend(b, 0, ['1'])),
      unit(someAppend(b, 1, ['2']), someAppend(c, 0, ['2'])),
      unit(someAppend(c, 1, ['3']), someAppend(a, 1, ['3'])),
    );
    expect(kinds(results)).toEqual(['appended', 'appended', 'appended']);
    expect(await contents(a, b, c)).toEqual(['a1 1', 'a2 3', 'b1 1', 'b2 2', 'c1 2', 'c2 3']);
  });

  test('it relies on what was not settled when it was made, also across batches', async () => {
    await log.append(someAppend(a, 0, ['a']));
    const results: Promise<AppendResult>[] = [];
    await fresh.open().database.transaction(async (tx) => {
      await holdTurn(tx);
      results.push(log.append(someAppend(a, 0, ['stale'])));
      for (let waiting = 0; waiting === 0; )
        waiting = (await fresh.database.query({ text: 'SELECT FROM pg_locks WHERE NOT granted' })).length;
      // The next ones are part of another batch; the last one would fit if the one before it had not relied on another.
      results.push(log.append(unit(someAppend(b, 0, ['b']), someAppend(a, 1, ['relies']))));
      results.push(log.append(someAppend(b, 0, ['b'])));
    });
    expect(kinds(await Promise.all(results))).toEqual(['conflict', 'conflict', 'conflict']);
    expect(await log.append(someAppend(b, 0, ['b']))).toMatchObject({ kind: 'appended' });
  });

  test('units of the same streams in different orders, from several processes, never block each other', async () => {
    const logs = [log, fresh.open().log, fresh.open().log];
    const streams = [a, b, c];
    const results = await Promise.all(
      Array.from({ length: 60 }, (_, n) => {
        const [first, second] = [streams[n % 3]!, streams[(n + 1 + (n % 2)) % 3]!];
        return logs[n % 3]!.append(unit(someAppend(first, 'any', [`${n}`]), someAppend(second, 'any', [`${n}`])));
      }),
    );
    expect(kinds(results)).toEqual(results.map(() => 'appended'));
    const events = await log.readStreams(streams.map((stream) => ({ stream, afterVersion: 0 })));
    const positions = Map.groupBy(events, ({ data }) => Buffer.from(data).toString());
    expect(positions.size).toBe(60);
    for (const pair of positions.values()) expect(Math.abs(pair[0]!.position - pair[1]!.position)).toBe(1);
  });

  test('a stream that is named twice, and more than 100 streams, are refused; others of the batch land', async () => {
    const many = Array.from({ length: 100 }, (_, n) => someAppend(`${b}-${n}`, 0));
    const results = await Promise.allSettled([
      log.append(unit(someAppend(a, 0), someAppend(a, 1))),
      log.append(unit(someAppend(a, 0), ...many)),
      log.append(someAppend(c, 0, ['c'])),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(await log.append(unit(someAppend(a, 0), ...many.slice(1)))).toMatchObject({ kind: 'appended', version: 1 });
    expect((results[0] as PromiseRejectedResult).reason.message).toContain('names a stream twice');
  });

  test('of a wrong unit nothing lands, and others do', async () => {
    const wrong = { ...someAppend(b, 0), events: [{ ...someEvent(), eventId: 'no uuid' }] };
    const results = await Promise.allSettled([
      log.append(unit(someAppend(a, 0, ['a']), wrong)),
      log.append(someAppend(c, 0, ['c'])),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(await contents(a, b, c)).toEqual(['c1 c']);
  });
});
