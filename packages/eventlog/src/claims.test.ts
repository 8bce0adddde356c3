import { randomUUID } from 'node:crypto';
import { newId } from '@caudal/kernel/ids.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { someAppend, someCommand } from './testing/events.ts';
import { freshLog, setClockAhead } from './testing/log.ts';
import type { Append, Claim, EventLog } from './types.ts';

/** A stream of the test's own. */
let stream = '';
let streams = 0;
const committed = 1;
const returned = 2;

/** A claim that records a kind and an outcome, or only looks. */
function claim(id: string, record?: [kind: number, outcome: string], expected?: Claim['expected']): Claim {
  const scope = stream;
  return {
    ...{ scope, id, days: 7 },
    ...(record && { record: { kind: record[0], outcome: Buffer.from(record[1]) } }),
    ...(expected !== undefined && { expected }),
  };
}

const withClaims = (append: Append, ...claims: Claim[]): Append => ({ ...append, claims });
const empty = (expected: Append['expected'] = 'any'): Append => ({ stream, expected, events: [] });

/** An id of so many days ago. */
function idOf(daysAgo: number): string {
  const time = (Date.now() - daysAgo * 86_400_000).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}${newId().slice(13)}`;
}

describeWith(['postgres'], 'claims', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let log: EventLog;
  beforeAll(async () => {
    fresh = await freshLog();
    log = fresh.log;
  });
  afterAll(() => fresh.drop());
  beforeEach(() => {
    stream = `orders.order/${streams++}`;
  });

  const rows = () =>
    fresh.database.query<{ key: string; generation: number; expires: Date; version: number }>({
      text: 'SELECT key, generation, expires, version FROM claims ORDER BY generation',
    });

  describe.each([
    ['with a time', newId],
    ['without a time', randomUUID],
    ['that is any text', () => `R-${Math.random()}`],
    ['that begins with a time', () => `${newId()}.1`],
  ])('of an id %s', (_, makeId) => {
    test('that is absent lets an append land and is recorded; the next append gets its outcome', async () => {
      const id = makeId();
      const first = withClaims(someAppend(stream, 0), claim(id, [committed, '3 pieces']));
      expect(await log.append(first)).toMatchObject({ kind: 'appended', version: 1 });
      const known = { place: 0, kind: committed, generation: 0, outcome: Buffer.from('3 pieces'), version: 1 };
      expect(await log.append(withClaims(someAppend(stream, 1), claim(id, [committed, 'again'])))).toEqual({
        kind: 'claimed',
        claims: [known],
      });
      expect(await log.append(withClaims(empty(1), claim(id)))).toEqual({ kind: 'claimed', claims: [known] });
      expect(await log.append(withClaims(empty(1), claim(makeId())))).toMatchObject({ kind: 'appended', version: 1 });
      expect(await log.readStreams([{ stream, afterVersion: 0 }])).toHaveLength(1);
    });

    test('is replaced by an append that knows its generation; one that does not gets the new outcome', async () => {
      const id = makeId();
      await log.append(withClaims(someAppend(stream, 0), claim(id, [committed, 'c'])));
      const replace = () => log.append(withClaims(someAppend(stream, 'any'), claim(id, [returned, 'r'], 0)));
      expect(await replace()).toMatchObject({ kind: 'appended', version: 2 });
      expect(await replace()).toEqual({
        kind: 'claimed',
        claims: [{ place: 0, kind: returned, generation: 1, outcome: Buffer.from('r'), version: 2 }],
      });
      const blind = withClaims(someAppend(stream, 'any'), claim(id, [committed, 'c'], 'any'));
      expect(await log.append(blind)).toMatchObject({ kind: 'appended' });
      expect(await log.append(withClaims(empty(), claim(id)))).toMatchObject({
        claims: [{ generation: 2, version: 3 }],
      });
      // Replaced again by an append without events: the version stays.
      expect(await log.append(withClaims(empty(), claim(id, [returned, 'r'], 2)))).toMatchObject({
        kind: 'appended',
        version: 3,
      });
      expect(await log.append(withClaims(empty(), claim(id)))).toMatchObject({
        claims: [{ generation: 3, version: 3 }],
      });
    });
  });

  test('an append gets all claims that are not as expected, in their order', async () => {
    const ids = [newId(), randomUUID(), newId(), newId()] as const;
    await log.append(withClaims(someAppend(stream, 0), ...ids.slice(0, 3).map((id) => claim(id, [committed, id]))));
    const asked = [claim(ids[3]), claim(ids[2]), claim(ids[0], [returned, 'x'], 0), claim(ids[1], [returned, 'x'], 5)];
    const command = someCommand();
    const result = await log.append({ ...withClaims(someAppend(stream, 1), ...asked), command });
    expect(result).toMatchObject({ kind: 'claimed', claims: [{ place: 1 }, { place: 3 }] });
    // Nothing of it was recorded.
    expect(await log.append(withClaims(empty(), claim(ids[3])))).toMatchObject({ kind: 'appended' });
    expect(await log.append(withClaims(empty(), claim(ids[0])))).toMatchObject({ claims: [{ generation: 0 }] });
    expect(await log.append({ ...someAppend(stream, 1), command })).toMatchObject({ kind: 'appended' });
  });

  test('scopes are apart', async () => {
    const id = newId();
    await log.append(withClaims(someAppend(stream, 0), claim(id, [committed, 'x'])));
    const other = { ...claim(id, [committed, 'x']), scope: `${stream}-2` };
    expect(await log.append(withClaims(someAppend(`${stream}-2`, 0), other))).toMatchObject({ kind: 'appended' });
  });

  test('an append that was decided on another version is a conflict, whatever its claims; a repeated command is that', async () => {
    const id = newId();
    const command = someCommand();
    const first = { ...withClaims(someAppend(stream, 0), claim(id, [committed, 'x'])), command };
    await log.append(first);
    expect(await log.append(first)).toMatchObject({ kind: 'duplicate', version: 1 });
    expect(await log.append(withClaims(someAppend(stream, 0), claim(id)))).toMatchObject({
      kind: 'conflict',
      version: 1,
    });
  });

  test('of two appends of a batch that record the same claim one lands; the other one comes again', async () => {
    const id = newId();
    const append = (name: string) => log.append(withClaims(someAppend(name, 0), claim(id, [committed, name])));
    const [first, second] = await Promise.all([append(stream), append(`${stream}-2`)]);
    expect([first!.kind, second!.kind]).toEqual(['appended', 'conflict']);
    expect(await append(`${stream}-2`)).toMatchObject({
      kind: 'claimed',
      claims: [{ outcome: Buffer.from(stream) }],
    });
  });

  test('of many processes that record the same claim one lands', async () => {
    const id = newId();
    const logs = [log, fresh.open().log, fresh.open().log];
    const results = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        logs[n % 3]!.append(withClaims(someAppend(`${stream}-${n}`, 0), claim(id, [committed, `${n}`]))),
      ),
    );
    expect(results.filter(({ kind }) => kind === 'appended')).toHaveLength(1);
  });

  test('a claim alone is recorded, also for a stream that does not exist; it takes no position', async () => {
    const id = newId();
    expect(await log.append(withClaims(empty(0), claim(id, [committed, 'x'])))).toMatchObject({
      kind: 'appended',
      version: 0,
      position: 0,
    });
    expect(await log.append(withClaims(empty(), claim(id)))).toMatchObject({ kind: 'claimed' });
    expect(await log.append(withClaims(someAppend(stream, 0), claim(newId())))).toMatchObject({
      kind: 'appended',
      position: expect.any(Number),
    });
  });

  test('a refusal in a chain is one for those that rely on it', async () => {
    const id = newId();
    await log.append(withClaims(empty(), claim(id, [committed, 'x'])));
    const results = await Promise.all([
      log.append(withClaims(someAppend(stream, 0), claim(id))),
      log.append(someAppend(stream, 1)),
    ]);
    expect(results.map(({ kind }) => kind)).toEqual(['claimed', 'conflict']);
  });

  describe('expiry', () => {
    /** These tests move the clock of a log of their own. */
    let shared: typeof fresh;
    beforeEach(async () => {
      shared = fresh;
      fresh = await freshLog();
      log = fresh.log;
    });
    afterEach(async () => {
      await fresh.drop();
      fresh = shared;
      log = shared.log;
    });

    const at = (days: number) => setClockAhead(fresh.database, `${days * 86_400_000} milliseconds`);
    const look = (id: string) => log.append(withClaims(empty(), claim(id)));

    test.each([
      ['with a time', newId],
      ['without a time', randomUUID],
    ])('a claim of an id %s counts for its days, and then the id is free', async (_, makeId) => {
      const id = makeId();
      await log.append(withClaims(someAppend(stream, 0), claim(id, [committed, 'first'])));
      const [row] = await rows();
      const days = (row!.expires.getTime() - Date.now()) / 86_400_000;
      expect(days).toBeGreaterThan(6.99);
      expect(days).toBeLessThanOrEqual(7);
      await at(6.9);
      expect(await look(id)).toMatchObject({ kind: 'claimed' });
      await at(7.01);
      expect(await look(id)).toMatchObject({ kind: 'appended' });
      // It may be recorded again, in the partition that still holds the first one; what was known of it counts as absent.
      expect(await log.append(withClaims(empty(), claim(id, [returned, 'second'], 0)))).toMatchObject({
        kind: 'appended',
      });
      expect(await look(id)).toMatchObject({ kind: 'claimed', claims: [{ generation: 1 }] });
      await at(14.1);
      expect(await look(id)).toMatchObject({ kind: 'appended' });
    });

    test('a claim may be recorded for more days than those of its scope', async () => {
      const id = newId();
      await log.append(withClaims(empty(), claim(id, [committed, 'x'])));
      const long = claim(id, [returned, 'x'], 0);
      const replaced = { ...long, record: { ...long.record!, days: 30 } };
      expect(await log.append(withClaims(empty(), replaced))).toMatchObject({ kind: 'appended' });
      await at(29.9);
      expect(await look(id)).toMatchObject({ kind: 'claimed', claims: [{ kind: returned, generation: 1 }] });
      await at(30.1);
      expect(await look(id)).toMatchObject({ kind: 'appended' });
    });

    test('a claim ends exactly when the log reaches its end', async () => {
      const id = newId();
      await log.append(withClaims(someAppend(stream, 0), claim(id, [committed, 'x'])));
      const expires = (await rows())[0]!.expires;
      const clockAt = (time: number) =>
        fresh.database.query({
          text: `CREATE OR REPLACE FUNCTION log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS
            $$ SELECT '${new Date(time).toISOString()}'::timestamptz $$`,
        });
      await clockAt(expires.getTime() - 1);
      expect(await look(id)).toMatchObject({ kind: 'claimed' });
      await clockAt(expires.getTime());
      expect(await look(id)).toMatchObject({ kind: 'appended' });
    });

    test('a replacement does not end before what it replaces', async () => {
      const id = randomUUID();
      await log.append(withClaims(empty(), { ...claim(id, [committed, 'x']), days: 7 }));
      const expires = (await rows())[0]!.expires;
      await setClockAhead(fresh.database, '-1 hour');
      await log.append(withClaims(empty(), claim(id, [returned, 'x'], 0)));
      expect((await rows()).map((row) => row.expires)).toEqual([expires, expires]);
    });

    test('a claim that was made after an older one had ended counts, also when the clock was set back since', async () => {
      const id = randomUUID();
      for (const expected of ['absent', 0, 1] as const)
        await log.append(withClaims(empty(), claim(id, [committed, 'old'], expected)));
      await at(18);
      expect(await log.append(withClaims(empty(), claim(id, [committed, 'new'])))).toMatchObject({ kind: 'appended' });
      await at(16);
      expect(await look(id)).toMatchObject({ kind: 'claimed', claims: [{ outcome: Buffer.from('new') }] });
    });

    test('a claim of an old id is kept from now on; one of an id that is a little ahead, from its time on', async () => {
      const [old, ahead] = [idOf(400), idOf(-0.9)];
      await log.append(withClaims(empty(), claim(old, [committed, 'x']), claim(ahead, [committed, 'x'])));
      await at(6.9);
      expect(await look(old)).toMatchObject({ kind: 'claimed' });
      await at(7.8);
      expect(await look(ahead)).toMatchObject({ kind: 'claimed' });
      expect(await look(old)).toMatchObject({ kind: 'appended' });
    });

    test('an id that is more than a day ahead is refused, alone', async () => {
      const results = await Promise.allSettled([
        log.append(withClaims(someAppend(`${stream}-2`, 0), claim(idOf(-1.1), [committed, 'x']))),
        log.append(someAppend(`${stream}-3`, 0)),
        log.append(
          withClaims(someAppend(`${stream}-4`, 0), claim('fcedc0ee-0efc-7cfd-aff4-029dee65aada', [committed, 'x'])),
        ),
      ]);
      expect(results).toMatchObject([
        { status: 'rejected', reason: { code: 'INVALID_ARGUMENT', reason: 'ID_FROM_FUTURE' } },
        { status: 'fulfilled', value: { kind: 'appended' } },
        { status: 'rejected', reason: { code: 'INVALID_ARGUMENT', reason: 'ID_FROM_FUTURE' } },
      ]);
    });

    test('claims of the most days find their partition, also when the clock has jumped or was set back', async () => {
      const long = (): Append =>
        withClaims(someAppend(stream, 'any'), { ...claim(idOf(-0.9), [committed, 'x']), days: 60 });
      expect(await log.append(long())).toMatchObject({ kind: 'appended' });
      await at(200);
      expect(await log.append(long())).toMatchObject({ kind: 'appended' });
      await at(0);
      expect(await log.append(long())).toMatchObject({ kind: 'appended' });
    });
  });

  test('values that are out of bounds are refused, and name the bound', async () => {
    const wrong: [Claim[], string][] = [
      [[{ ...claim(newId()), days: 61 }], 'from 1 to 60'],
      [[{ ...claim(newId()), days: 0 }], 'from 1 to 60'],
      [[claim(newId(), [0, 'x'])], 'from 1 to 32767'],
      [[{ ...claim(newId()), record: { kind: 1, outcome: Buffer.from('x'), days: 6 } }], 'from its 7 days to 60'],
      [Array.from({ length: 1_001 }, () => claim(newId())), 'at most 1000'],
      [[claim('same', [1, 'x']), claim('same', [2, 'x'])], 'records a claim twice'],
    ];
    for (const [claims, message] of wrong)
      await expect(log.append(withClaims(empty(), ...claims))).rejects.toThrow(message);
  });
});
