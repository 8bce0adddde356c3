import { describe, expect, test } from '@jest/globals';
import type { Judgeable } from './append.ts';
import { type Failure, type GroupCommitOptions, groupCommit } from './group-commit.ts';
import type { Append, AppendResult } from './types.ts';

const appended: AppendResult = { kind: 'appended', version: 1, position: 1, recordedAt: new Date(0) };
const conflict: AppendResult = { kind: 'conflict', version: 9, missing: [] };

const event = (bytes = 1) => ({
  eventId: '',
  type: 't',
  schemaVersion: 1,
  data: new Uint8Array(bytes),
  metadata: new Uint8Array(),
});
const command = { key: 'k', hash: new Uint8Array(), reply: new Uint8Array() };
const plain = (stream: string, more: Partial<Append> = {}): Append => ({
  stream,
  expected: 'any',
  events: [event()],
  ...more,
});
const safe = (stream: string, more: Partial<Append> = {}) => plain(stream, { command, ...more });

class Failed extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure);
    this.failure = failure;
  }
}

/** A log whose calls are answered by the test, one after the other. */
function scripted(options: Partial<GroupCommitOptions> = {}) {
  const calls: { batch: Judgeable[]; answer(result: AppendResult[] | Error): void }[] = [];
  let arrived = () => {};
  const commits = groupCommit({
    send: (batch) =>
      new Promise((resolve, reject) => {
        // A copy, since marks may be made during the call.
        const copy = batch.map((item) => ({ append: item.append, reliesOnRefused: item.reliesOnRefused }));
        calls.push({ batch: copy, answer: (result) => (result instanceof Error ? reject(result) : resolve(result)) });
        arrived();
      }),
    classify: (error) => (error as Failed).failure,
    retryForMs: 1_000,
    maxQueued: 2_000,
    maxCalls: 2,
    ...options,
  });
  let next = 0;
  return {
    ...commits,
    append(append: Append) {
      const result = commits.append(append);
      result.catch(() => {}); // checked later
      return result;
    },
    calls,
    /** The next call, once it is made. */
    async call() {
      while (calls.length <= next) await new Promise<void>((resolve) => (arrived = resolve));
      return calls[next++]!;
    },
  };
}
const streamsOf = ({ batch }: { batch: Judgeable[] }) => batch.map(({ append }) => append.stream);
const marks = ({ batch }: { batch: Judgeable[] }) => batch.map(({ reliesOnRefused }) => reliesOnRefused);
const outcomes = async (promises: Promise<AppendResult>[]) =>
  (await Promise.allSettled(promises)).map((result) =>
    result.status === 'fulfilled' ? result.value.kind : (result.reason.code ?? result.reason.message),
  );

describe('gathering', () => {
  test('appends that are made while two calls are in flight share the next one, in order', async () => {
    const log = scripted();
    const results = [log.append(plain('a'))];
    const first = await log.call();
    results.push(log.append(plain('b')));
    const second = await log.call();
    results.push(log.append(plain('c')), log.append(plain('d')));
    await Promise.resolve();
    expect(log.calls).toHaveLength(2);
    first.answer([appended]);
    const third = await log.call();
    expect(streamsOf(third)).toEqual(['c', 'd']);
    third.answer([appended, conflict]);
    second.answer([appended]);
    expect(await outcomes(results)).toEqual(['appended', 'appended', 'appended', 'conflict']);
  });

  test('calls in flight have no stream in common: an append waits for an earlier one of its stream only', async () => {
    const log = scripted();
    const results = [log.append(plain('a'))];
    const first = await log.call();
    results.push(...['a', 'b', 'a', 'c'].map((stream) => log.append(plain(stream))));
    const second = await log.call();
    expect(streamsOf(second)).toEqual(['b', 'c']);
    results.push(log.append(plain('d')));
    second.answer([appended, appended]);
    const third = await log.call();
    expect(streamsOf(third)).toEqual(['d']);
    first.answer([appended]);
    const fourth = await log.call();
    expect(streamsOf(fourth)).toEqual(['a', 'a']);
    third.answer([appended]);
    fourth.answer([appended, appended]);
    expect(await outcomes(results)).toEqual(results.map(() => 'appended'));
  });

  test('an append of several streams waits for each; what is behind it on any of them waits behind it', async () => {
    const log = scripted();
    const results = [log.append(plain('a'))];
    const first = await log.call();
    results.push(log.append(plain('b', { also: [plain('a')] })), log.append(plain('b')), log.append(plain('c')));
    const second = await log.call();
    expect(streamsOf(second)).toEqual(['c']);
    second.answer([appended]);
    first.answer([appended]);
    const third = await log.call();
    expect(streamsOf(third)).toEqual(['b', 'b']);
    third.answer([appended, appended]);
    expect(await outcomes(results)).toEqual(results.map(() => 'appended'));
  });

  test('a batch is bounded by count and by bytes, but one big append is still sent', async () => {
    const log = scripted();
    const many = Array.from({ length: 501 }, (_, n) => log.append(plain(`s${n}`)));
    const big = ['x', 'y'].map((stream) => log.append(plain(stream, { events: [event(5_000_000)] })));
    const sizes = [];
    for (let n = 0; n < 4; n++) {
      const call = await log.call();
      sizes.push(call.batch.length);
      call.answer(call.batch.map(() => appended));
    }
    await Promise.all([...many, ...big]);
    expect(sizes).toEqual([500, 1, 1, 1]);
  });

  test('a batch is bounded by its streams, events and claims', async () => {
    const log = scripted();
    // 100 streams with an event each, and 100 claims: 300 rows.
    const unit = (n: number): Append => ({
      ...plain(`${n}/0`),
      also: Array.from({ length: 99 }, (_, k) => ({ stream: `${n}/${k + 1}`, expected: 'any', events: [event()] })),
      claims: Array.from({ length: 100 }, (_, k) => ({ scope: `${n}/${k}`, id: 'x', days: 7 })),
    });
    for (let n = 0; n < 40; n++) log.append(unit(n));
    expect((await log.call()).batch).toHaveLength(33);
  });

  test('the queue is bounded', async () => {
    const log = scripted({ maxQueued: 2 });
    const first = log.append(plain('a'));
    const call = await log.call();
    const rest = ['a', 'a', 'b'].map((stream) => log.append(plain(stream)));
    await expect(rest[2]).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    call.answer([appended]);
    (await log.call()).answer([appended, appended]);
    expect(await outcomes([first, ...rest.slice(0, 2)])).toEqual(['appended', 'appended', 'appended']);
  });

  test('close waits for queued appends and refuses further ones', async () => {
    const log = scripted();
    const first = log.append(plain('a'));
    const closing = log.close();
    await expect(log.append(plain('b'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    (await log.call()).answer([appended]);
    await closing;
    expect(await outcomes([first])).toEqual(['appended']);
  });
});

describe('failures', () => {
  test('wrong: each append is sent again alone, and only the wrong one fails', async () => {
    const log = scripted();
    const results = ['a', 'bad', 'c'].map((stream) => log.append(plain(stream)));
    (await log.call()).answer(new Failed('wrong'));
    for (const stream of ['a', 'bad', 'c']) {
      const call = await log.call();
      expect(streamsOf(call)).toEqual([stream]);
      call.answer(stream === 'bad' ? new Failed('wrong') : [appended]);
    }
    expect(await outcomes(results)).toEqual(['appended', 'wrong', 'appended']);
  });

  test('busy: nothing has happened, so the whole batch is sent again', async () => {
    const log = scripted();
    const results = [log.append(plain('a')), log.append(safe('b'))];
    (await log.call()).answer(new Failed('busy'));
    const again = await log.call();
    expect(streamsOf(again)).toEqual(['a', 'b']);
    again.answer([appended, appended]);
    expect(await outcomes(results)).toEqual(['appended', 'appended']);
  });

  test('unknown: only appends that can be repeated are sent again', async () => {
    const log = scripted();
    const lookup = { key: 'k', hash: new Uint8Array() };
    const results = [
      log.append(plain('a')),
      log.append(safe('b')),
      log.append(plain('question', { events: [] })),
      log.append(plain('lookup', { events: [], command: lookup })),
      log.append(plain('lookup-and-events', { command: lookup })),
    ];
    (await log.call()).answer(new Failed('unknown'));
    const again = await log.call();
    expect(streamsOf(again)).toEqual(['b', 'question', 'lookup']);
    again.answer([appended, appended, appended]);
    expect(await outcomes(results)).toEqual(['UNAVAILABLE', 'appended', 'appended', 'appended', 'UNAVAILABLE']);
  });

  test('giving up fails the queue too, but not the other call', async () => {
    const log = scripted({ retryForMs: 0 });
    const first = log.append(safe('a'));
    const call = await log.call();
    const beside = log.append(plain('x'));
    const other = await log.call();
    const queued = log.append(plain('b'));
    call.answer(new Failed('unknown'));
    expect(await outcomes([first, queued])).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    other.answer([appended]);
    expect(await outcomes([beside])).toEqual(['appended']);
    const later = log.append(plain('c'));
    (await log.call()).answer([appended]);
    expect(await outcomes([later])).toEqual(['appended']);
  });
});

describe('a log that counts as unreachable', () => {
  test('fails later appends after two calls, until it has answered again', async () => {
    const log = scripted({ retryForMs: 1_500 });
    let answered = 0;
    /** Answers the calls: the first `lost` are lost. Returns the number of calls until the append was settled. */
    async function callsUntilSettled(result: Promise<AppendResult>, lost: number): Promise<number> {
      const before = answered;
      let settled = false;
      const settle = () => {
        settled = true;
      };
      result.then(settle, settle);
      while (!settled) {
        for (; answered < log.calls.length; answered++)
          log.calls[answered]!.answer(answered - before < lost ? new Failed('unknown') : [appended]);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return answered - before;
    }
    const first = log.append(safe('a'));
    expect(await callsUntilSettled(first, Infinity)).toBeGreaterThan(2);
    const later = [log.append(safe('b'))];
    expect(await callsUntilSettled(later[0]!, Infinity)).toBe(2);
    expect(await outcomes([first, ...later])).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    // The log answers again, so lost calls are repeated as before.
    const back = log.append(safe('c'));
    expect(await callsUntilSettled(back, 1)).toBe(2);
    const lost = log.append(safe('d'));
    expect(await callsUntilSettled(lost, 3)).toBe(4);
    expect(await outcomes([back, lost])).toEqual(['appended', 'appended']);
  });
});

describe('a call that is stuck', () => {
  test('fails its appends and waiting ones in time; its own outcome is dropped', async () => {
    const log = scripted({ answerWithinMs: 100 });
    const results = [log.append(safe('a')), log.append(plain('b'))];
    const call = await log.call();
    const queued = log.append(safe('a', { expected: 5 }));
    expect(await outcomes([...results, queued])).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
    // Its streams are still in use, others are not.
    const later = log.append(safe('a'));
    const other = log.append(plain('c'));
    const beside = await log.call();
    expect(streamsOf(beside)).toEqual(['c']);
    beside.answer([appended]);
    expect(await outcomes([other, later])).toEqual(['appended', 'UNAVAILABLE']);
    const last = log.append(safe('a', { expected: 6 }));
    call.answer([appended, appended]);
    const next = await log.call();
    expect([streamsOf(next), marks(next)]).toEqual([['a'], [false]]);
    next.answer([conflict]);
    expect(await outcomes([last])).toEqual(['conflict']);
    await log.close();
  });

  test('is not sent again if it fails: its appends are settled', async () => {
    const log = scripted({ answerWithinMs: 100, retryForMs: 60_000 });
    const result = log.append(safe('a'));
    const call = await log.call();
    expect(await outcomes([result])).toEqual(['UNAVAILABLE']);
    call.answer(new Failed('busy'));
    await log.close();
    expect(log.calls).toHaveLength(1);
  });
});

describe('appends that rely on others', () => {
  test('those queued behind a refused append of their stream are marked, later ones are not', async () => {
    const log = scripted();
    const results = [log.append(plain('a', { expected: 5 })), log.append(plain('c', { expected: 5, events: [] }))];
    const first = await log.call();
    results.push(
      log.append(plain('c', { expected: 5 })),
      log.append(plain('a', { expected: 6 })),
      log.append(plain('a', { expected: 'any' })),
      log.append(plain('a', { expected: 8 })),
    );
    first.answer([conflict, conflict]);
    const second = await log.call();
    expect(marks(second)).toEqual([false, true, false, true]);
    await results[0];
    results.push(log.append(plain('b', { expected: 7 })));
    const third = await log.call();
    expect(marks(third)).toEqual([false]);
    second.answer([appended, conflict, appended, conflict]);
    third.answer([appended]);
    await Promise.all(results);
    results.push(log.append(plain('a', { expected: 9 })));
    const fourth = await log.call();
    expect(marks(fourth)).toEqual([false]);
    fourth.answer([appended]);
    await Promise.all(results);
  });

  test('one that fails alone marks those behind it, not those before it', async () => {
    const log = scripted();
    const results = [1, 2, 3].map((expected) => log.append(plain('a', { expected })));
    (await log.call()).answer(new Failed('wrong'));
    (await log.call()).answer([appended]);
    (await log.call()).answer(new Failed('wrong'));
    const third = await log.call();
    expect(marks(third)).toEqual([true]);
    third.answer([conflict]);
    expect(await outcomes(results)).toEqual(['appended', 'wrong', 'conflict']);
  });

  test('after a lost connection, appends that rely on one that can not be repeated fail with it', async () => {
    const log = scripted();
    const results = [
      log.append(safe('a', { expected: 1 })),
      log.append(plain('a', { expected: 2 })),
      log.append(safe('a', { expected: 3 })),
      log.append(safe('b', { expected: 1 })),
    ];
    (await log.call()).answer(new Failed('unknown'));
    const again = await log.call();
    expect(again.batch.map(({ append }) => [append.stream, append.expected])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    expect(marks(again)).toEqual([false, false]);
    again.answer([appended, appended]);
    expect(await outcomes(results)).toEqual(['appended', 'UNAVAILABLE', 'UNAVAILABLE', 'appended']);
  });
});
