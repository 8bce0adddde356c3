import { setImmediate as tick } from 'node:timers/promises';
import type { Append, AppendResult, EventLog } from '@caudal/eventlog/types.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { type AggregatesOptions, openAggregates } from './aggregates.ts';
import { add, look, open, purse, tagOf, take } from './testing/purse.ts';

/** One call to the log, held until the test decides its outcome. */
interface HeldCall {
  appends: Append[];
  /** The log processes its appends, and the answer arrives. */
  judge(): Promise<void>;
  /** The call never arrives at the log; with 'judged' only its answer is lost. */
  lose(after?: 'judged'): Promise<void>;
}

function heldCalls() {
  const held: HeldCall[] = [];
  return {
    call: (judge: () => void, appends: Append[]) =>
      new Promise<void>((resolve, reject) => {
        held.push({
          appends,
          async judge() {
            judge();
            resolve();
            await tick();
          },
          async lose(after) {
            if (after === 'judged') judge();
            reject(unavailable('PostgreSQL'));
            await tick();
          },
        });
      }),
    /** The next call to the log. */
    async next(): Promise<HeldCall> {
      for (let turns = 0; turns < 1000; turns++) {
        const call = held.shift();
        if (call) return call;
        await tick();
      }
      throw new Error('No call to the log was made.');
    },
    /** Lets the log process every call until the promise has settled. */
    async judgeUntil<T>(promise: Promise<T>): Promise<T> {
      const seen = watch(promise);
      for (let turns = 0; turns < 1000 && !seen.settled; turns++) {
        await held.shift()?.judge();
        await tick();
      }
      return promise;
    },
  };
}

function aggregatesOver(log: EventLog, options: Partial<AggregatesOptions> = {}) {
  return openAggregates({ log, clock: systemClock, ids: newId, ...options });
}

/** The outcome of a promise so far. */
function watch<T>(promise: Promise<T>) {
  const seen: { value?: T; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (value) => Object.assign(seen, { value, settled: true }),
    (error) => Object.assign(seen, { error, settled: true }),
  );
  return seen;
}

const anError = (code: string, reason: string) => expect.objectContaining({ code, reason });

describe('the queue of a stream', () => {
  test('concurrent commands are each decided on the one before, and share calls', async () => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log);
    const done = await Promise.all(Array.from({ length: 200 }, () => aggregates.execute(add('a', 1))));
    expect(done.map(({ version }) => version)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(done.at(-1)!.reply).toEqual({ balance: 200, version: 200 });
    expect(log.calls).toBeLessThanOrEqual(5);
  });

  test('no answer leaves before the log has confirmed it', async () => {
    const calls = heldCalls();
    const aggregates = aggregatesOver(memoryLog({ domain: 'test', call: calls.call }));
    const added = watch(aggregates.execute(add('a', 5)));
    const refusal = watch(aggregates.execute(take('a', 6)));
    const looked = watch(aggregates.execute(look('a')));
    const call = await calls.next();
    await tick();
    expect([added.settled, refusal.settled, looked.settled]).toEqual([false, false, false]);
    await call.judge();
    expect(added.value?.version).toBe(1);
    expect(refusal.error).toEqual(anError('FAILED_PRECONDITION', 'PURSE_TOO_EMPTY'));
    expect(looked.value).toEqual({
      reply: { balance: 5, version: 1 },
      stream: 'test.purse/a',
      version: 1,
      repeated: false,
    });
  });

  test('a refusal on a state that did not become durable is decided again', async () => {
    const calls = heldCalls();
    const log = memoryLog({ domain: 'test', call: calls.call });
    const other = aggregatesOver(log.connect());
    await other.execute(add('a', 10));
    const aggregates = aggregatesOver(log);
    const first = aggregates.execute(take('a', 10));
    const second = aggregates.execute(take('a', 5));
    const call = await calls.next();
    await other.execute(add('a', 5));
    await call.judge();
    expect((await calls.judgeUntil(first)).reply.balance).toBe(5);
    expect((await calls.judgeUntil(second)).reply.balance).toBe(0);
  });

  test('a refusal on an old state is decided again, on what other processes have acknowledged', async () => {
    const log = memoryLog({ domain: 'test' });
    const [here, there] = [aggregatesOver(log), aggregatesOver(log.connect())];
    await expect(here.execute(take('a', 1))).rejects.toEqual(anError('FAILED_PRECONDITION', 'PURSE_TOO_EMPTY'));
    await here.execute(add('a', 1));
    await here.execute(take('a', 1));
    await there.execute(add('a', 1));
    expect((await here.execute(take('a', 1))).version).toBe(4);
  });

  test('a conflict brings the missing events: nothing is read', async () => {
    const log = memoryLog({ domain: 'test' });
    let reads = 0;
    const counting: EventLog = {
      ...log,
      append: log.append,
      readStreams: (...args) => {
        reads += 1;
        return log.readStreams(...args);
      },
    };
    const [here, there] = [aggregatesOver(counting), aggregatesOver(log.connect())];
    await here.execute(add('a', 1));
    expect(reads).toBe(1);
    for (let n = 0; n < 30; n++) await there.execute(add('a', 1));
    expect((await here.execute(add('a', 1))).reply).toEqual({ balance: 32, version: 32 });
    expect(reads).toBe(1);
  });

  test('if a conflict can not bring all missing events, the rest is read', async () => {
    const log = memoryLog({ domain: 'test' });
    const [here, there] = [aggregatesOver(log, { maxContended: 1 }), aggregatesOver(log.connect())];
    await here.execute(add('a', 1));
    await there.execute(add('a', 2500, { parts: 2500 }));
    expect((await here.execute(add('a', 1))).reply).toEqual({ balance: 2502, version: 2502 });
  });

  test('a chain behind a lost head does not land, even if the stream has the version that it expects', async () => {
    const calls = heldCalls();
    const log = memoryLog({ domain: 'test', call: calls.call });
    const other = aggregatesOver(log.connect());
    await other.execute(add('a', 10));
    const aggregates = aggregatesOver(log, { maxContended: 1 });
    const head = aggregates.execute(add('a', 90));
    const follower = aggregates.execute(take('a', 100));
    const call = await calls.next();
    await other.execute(take('a', 10));
    await call.judge();
    expect((await calls.judgeUntil(head)).reply.balance).toBe(90);
    await expect(calls.judgeUntil(follower)).rejects.toEqual(anError('FAILED_PRECONDITION', 'PURSE_TOO_EMPTY'));
  });

  test('nothing is chained to an append that has failed, even while those before it have no result', async () => {
    const log = memoryLog({ domain: 'test' });
    const results: { append: Append; resolve(result: AppendResult): void; reject(error: unknown): void }[] = [];
    const append = (asked: Append) =>
      new Promise<AppendResult>((resolve, reject) => results.push({ append: asked, resolve, reject }));
    const aggregates = aggregatesOver({ ...log, append });
    const first = aggregates.execute(add('a', 1));
    const second = aggregates.execute(add('a', 1));
    while (results.length < 2) await tick();
    results[1]!.reject(unavailable('PostgreSQL'));
    await tick();
    const third = aggregates.execute(add('a', 1));
    for (let turns = 0; turns < 5; turns++) await tick();
    expect(results.length).toBe(2);
    results[0]!.resolve({ kind: 'appended', version: 1, position: 1, recordedAt: new Date() });
    await expect(second).rejects.toEqual(anError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE'));
    while (results.length < 3) await tick();
    expect(results[2]!.append.expected).toBe(1);
    results[2]!.resolve({ kind: 'appended', version: 2, position: 2, recordedAt: new Date() });
    expect([(await first).version, (await third).version]).toEqual([1, 2]);
  });

  test('commands keep their order when they are decided again', async () => {
    let overtake = true;
    const log = memoryLog({
      domain: 'test',
      async call(judge) {
        if (overtake) await other.execute(add('a', 1));
        overtake = false;
        judge();
      },
    });
    const other = aggregatesOver(log.connect());
    const aggregates = aggregatesOver(log);
    const done = await Promise.all(Array.from({ length: 300 }, () => aggregates.execute(add('a', 1))));
    expect(done.map(({ version }) => version)).toEqual(Array.from({ length: 300 }, (_, index) => index + 2));
  });

  test('a command that loses races to other writers again and again is aborted', async () => {
    const log = memoryLog({
      domain: 'test',
      async call(judge) {
        await other.execute(add('a', 1, { tag: 'other' }));
        judge();
      },
    });
    const other = aggregatesOver(log.connect());
    const aggregates = aggregatesOver(log, { maxContended: 3 });
    const error = await aggregates.execute(add('a', 1, { tag: 'own' })).catch((thrown: CaudalError) => thrown);
    expect(error).toEqual(anError('ABORTED', 'STREAM_CONTENDED'));
    expect((error as CaudalError).retryAfterMs).toBeGreaterThan(0);
    expect(log.calls).toBe(4);
    expect(log.events.map(tagOf)).not.toContain('own');
  });

  test('beyond its bound the queue refuses', async () => {
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }), { maxQueue: 2 });
    const results = await Promise.allSettled([1, 2, 3].map(() => aggregates.execute(add('a', 1))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    const { reason } = results[2] as PromiseRejectedResult;
    expect(reason).toEqual(anError('RESOURCE_EXHAUSTED', 'STREAM_QUEUE_FULL'));
    expect((await aggregates.execute(add('a', 1))).version).toBe(3);
  });

  test('a command that is not decided yet can be cancelled; one that is gets its result', async () => {
    const calls = heldCalls();
    const aggregates = aggregatesOver(memoryLog({ domain: 'test', call: calls.call }));
    const early = new AbortController();
    const late = new AbortController();
    const calledBack = aggregates.execute(add('a', 1, { signal: early.signal }));
    const landed = aggregates.execute(add('a', 1, { signal: late.signal }));
    early.abort();
    await expect(calledBack).rejects.toEqual(anError('CANCELLED', 'CALL_CANCELLED'));
    const call = await calls.next();
    late.abort();
    await call.judge();
    expect((await landed).version).toBe(1);
    await expect(aggregates.execute(add('a', 1, { signal: early.signal }))).rejects.toEqual(
      anError('CANCELLED', 'CALL_CANCELLED'),
    );
  });

  test('every decision checks the permission of the caller', async () => {
    const log = memoryLog({ domain: 'test' });
    const [here, there] = [aggregatesOver(log), aggregatesOver(log.connect())];
    const owners: (string | undefined)[] = [];
    const authorize = (owner: string | undefined) => {
      owners.push(owner);
      if (owner === 'anna') throw new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', 'Not yours.');
    };
    await here.execute(add('a', 1, { authorize }));
    await there.execute(open('a'));
    await expect(here.execute(add('a', 1, { authorize }))).rejects.toEqual(anError('PERMISSION_DENIED', 'NOT_OWNER'));
    expect(owners).toEqual([undefined, undefined, 'anna']);
  });

  test('an unexpected error in a decision fails that command alone', async () => {
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }));
    const decide = () => {
      throw new TypeError('a bug');
    };
    const results = await Promise.allSettled([
      aggregates.execute(add('a', 1)),
      aggregates.execute(look('a', { decide })),
      aggregates.execute(add('a', 1)),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});

describe('repeated commands', () => {
  test('get the first answer, from another process too', async () => {
    const log = memoryLog({ domain: 'test' });
    const [here, there] = [aggregatesOver(log), aggregatesOver(log.connect())];
    const first = await here.execute(add('a', 5, { requestId: 'r' }));
    await here.execute(add('a', 1));
    const expected = { reply: first.reply, stream: 'test.purse/a', version: 1, repeated: true };
    expect(await here.execute(add('a', 5, { requestId: 'r' }))).toEqual(expected);
    expect(await there.execute(add('a', 5, { requestId: 'r' }))).toEqual(expected);
    expect((await there.execute(look('a'))).reply.balance).toBe(6);
  });

  test('at the same time are done once, and void no command behind them', async () => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log, { maxContended: 1 });
    const commands = Array.from({ length: 60 }, (_, n) =>
      aggregates.execute(add('a', 1, { requestId: `r${Math.floor(n / 3)}` })),
    );
    const done = await Promise.all(commands);
    expect(done.filter(({ repeated }) => !repeated).length).toBe(20);
    expect(log.events.length).toBe(20);
  });

  test('are not refused because of what their first run did', async () => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log);
    const first = await aggregates.execute(open('a', { requestId: 'r' }));
    expect(await aggregates.execute(open('a', { requestId: 'r' }))).toEqual({ ...first, repeated: true });
    await expect(aggregates.execute(open('a', { requestId: 'other' }))).rejects.toEqual(
      anError('FAILED_PRECONDITION', 'PURSE_EXISTS'),
    );
  });

  test('get the first answer if it changed nothing; refusals are not stored', async () => {
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }));
    await aggregates.execute(look('a', { requestId: 'look' }));
    await expect(aggregates.execute(take('a', 1, { requestId: 'take' }))).rejects.toThrow();
    await aggregates.execute(add('a', 1));
    expect((await aggregates.execute(look('a', { requestId: 'look' }))).reply.balance).toBe(0);
    expect(await aggregates.execute(take('a', 1, { requestId: 'take' }))).toMatchObject({ repeated: false });
  });

  test('with other content are refused with REQUEST_ID_REUSED', async () => {
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }));
    await aggregates.execute(add('a', 5, { requestId: 'r' }));
    const reused = anError('INVALID_ARGUMENT', 'REQUEST_ID_REUSED');
    const other = await aggregates.execute(add('a', 6, { requestId: 'r' })).catch((error: CaudalError) => error);
    expect(other).toEqual(reused);
    expect((other as CaudalError).violations[0]!.field).toBe('request_id');
    await expect(aggregates.execute(take('a', 100, { requestId: 'r' }))).rejects.toEqual(reused);
  });
});

describe('calls with an unknown outcome', () => {
  test.each([undefined, 'judged'] as const)('the caller gets UNAVAILABLE, and may repeat (%s)', async (fate) => {
    const calls = heldCalls();
    const log = memoryLog({ domain: 'test', call: calls.call });
    const aggregates = aggregatesOver(log);
    const first = watch(aggregates.execute(add('a', 5, { requestId: 'r' })));
    await (await calls.next()).lose(fate);
    expect(first.error).toEqual(anError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE'));
    const again = aggregates.execute(add('a', 5, { requestId: 'r' }));
    await (await calls.next()).judge();
    expect(await again).toMatchObject({ reply: { balance: 5 }, version: 1, repeated: fate === 'judged' });
    expect(log.events.length).toBe(1);
  });

  test('commands behind that were not sent are decided on the state in the log', async () => {
    const calls = heldCalls();
    const log = memoryLog({ domain: 'test', call: calls.call });
    const aggregates = aggregatesOver(log);
    const first = watch(aggregates.execute(add('a', 5)));
    const call = await calls.next();
    const behind = aggregates.execute(take('a', 5));
    await tick();
    await call.lose('judged');
    // It was chained to the lost one, so the log refuses it. Then it is decided again.
    expect(await calls.judgeUntil(behind)).toMatchObject({ reply: { balance: 0 }, version: 2 });
    expect(first.error).toEqual(anError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE'));
    expect(log.events.length).toBe(2);
  });

  test('an append whose call was sent again is done once, command id or not', async () => {
    let resend = true;
    const log = memoryLog({
      domain: 'test',
      async call(judge) {
        await tick();
        judge();
        if (resend) judge();
        resend = false;
      },
    });
    const aggregates = aggregatesOver(log);
    const done = await Promise.all([
      aggregates.execute(add('a', 1)),
      aggregates.execute(add('a', 1, { requestId: 'r' })),
      aggregates.execute(add('a', 1)),
      aggregates.execute(take('a', 3)),
    ]);
    expect(done.map(({ reply }) => reply.balance)).toEqual([1, 2, 3, 0]);
    expect(log.events.length).toBe(4);
  });

  test('if the state can not be read, all waiting commands fail', async () => {
    const log = memoryLog({ domain: 'test' });
    const away: EventLog = { ...log, readStreams: () => Promise.reject(unavailable('PostgreSQL')) };
    const aggregates = aggregatesOver(away);
    const results = await Promise.allSettled([1, 2, 3].map(() => aggregates.execute(add('a', 1))));
    for (const result of results)
      expect((result as PromiseRejectedResult).reason).toEqual(anError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE'));
  });

  test('a log that lost what it had confirmed is read again', async () => {
    const lost = memoryLog({ domain: 'test' });
    const restored = memoryLog({ domain: 'test' });
    let log: EventLog = lost;
    const aggregates = aggregatesOver({
      ...lost,
      append: (append) => log.append(append),
      readStreams: (cursors) => log.readStreams(cursors),
    });
    await aggregates.execute(add('a', 5));
    await aggregates.execute(add('a', 5));
    log = restored;
    await aggregatesOver(restored).execute(add('a', 5));
    expect(await aggregates.execute(add('a', 1))).toMatchObject({ reply: { balance: 6 }, version: 2 });
    expect((await aggregates.load(purse, 'a')).state.balance).toBe(6);
  });
});
