/**
 * Group commit: appends that arrive while calls are on their way travel together in the next. No timers: an idle log
 * takes an append at once, a busy one takes what has gathered, so batches grow with the load.
 *
 * Some calls are on their way at a time, so that the log judges one while others are written, sent or read here. They
 * never have a stream in common: what is behind an append of a call waits for its result.
 *
 * An append is in one of these states:
 *   queued    waits for a call. Bounded in number and bytes: RESOURCE_EXHAUSTED beyond.
 *   sent      part of a call on its way.
 *   settled   has a result or an error.
 * What can happen to a call:
 *   results   each append is settled with its own.
 *   wrong     the statement was refused and nothing happened: each append of the batch is sent again alone, so that
 *             only the one that is wrong fails.
 *   busy      nothing happened, but it can later (the head was held for too long): the same batch is sent again.
 *   unknown   the connection is lost, and perhaps only the answer: what is safe to send again is sent again, the rest
 *             fails. Safe is what carries a command whose repeat is recognised, or writes nothing.
 * Sending again ends after `retryForMs`; then the batch and all that is queued behind it fails with UNAVAILABLE, so that
 * nobody waits for longer than about that. Once nothing has been heard for so long, it is known to be away: who comes then is
 * sent twice, to find out whether it is back, and does not wait any more.
 *   stuck     it comes to nothing for `answerWithinMs`: somebody holds the log, another call before it on the connection
 *             waits for that, or the server stands still. Who has waited for so long is told UNAVAILABLE, in the queue too:
 *             a caller whose own time is over hears nothing of the cause. The call keeps its place and its streams until
 *             it ends; what comes of it is nobody's any more.
 *
 * Appends with an exact version rely on the events that came before them on their stream and were not settled then.
 * When one of these settles with anything but 'appended', those behind it are marked, and the log refuses them. (Inside
 * a batch append() sees to that.)
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { type Backoff, backoffMs, sleep, within } from '@caudal/kernel/time.ts';
import { type Judgeable, writes } from './append.ts';
import type { Append, AppendResult } from './types.ts';

export type Failure = 'wrong' | 'busy' | 'unknown';

export interface GroupCommitOptions {
  /** Sends a batch; resolves with a result each, in order. */
  send(batch: Judgeable[]): Promise<AppendResult[]>;
  /** What an error of `send` means. */
  classify(error: unknown): Failure;
  /** How long a batch is sent again before it fails. */
  retryForMs: number;
  /** Who has waited for so long fails, whatever his call still comes to; 4,000 ms if absent. */
  answerWithinMs?: number;
  /** Appends that may wait. */
  maxQueued: number;
  /** Calls on their way at a time; 4 if absent. More leave PostgreSQL no less idle, and make batches smaller. */
  maxCalls?: number;
  /** Called for each append once it is settled, with the milliseconds since it came. */
  onSettled?(outcome: AppendResult['kind'] | 'failed', ms: number): void;
}

export interface GroupCommit {
  /** Fails with RESOURCE_EXHAUSTED, UNAVAILABLE, or what `send` throws if the append itself is wrong. */
  append(append: Append): Promise<AppendResult>;
  /** Takes no more, and waits for what is queued. */
  close(): Promise<void>;
}

interface Pending extends Judgeable {
  bytes: number;
  /** Travels alone, because a batch with it in was wrong. */
  alone: boolean;
  since: number;
  settled: boolean;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
}

const maxBatch = 500;
const maxBatchBytes = 4 * 1024 * 1024;
const maxQueuedBytes = 64 * 1024 * 1024;
const pauses: Backoff = { firstMs: 20, maxMs: 1_000 };
/** How often it is looked whether anybody has waited for too long. */
const lookEveryMs = 250;

function bytesOf({ events, command }: Append): number {
  let bytes = command?.reply?.length ?? 0;
  for (const { data, metadata } of events) bytes += data.length + metadata.length;
  return bytes;
}

/** Whether doing it twice is the same as doing it once. */
function isRepeatable(append: Append): boolean {
  return append.command?.reply !== undefined || !writes(append);
}

export function groupCommit(options: GroupCommitOptions): GroupCommit {
  const { maxCalls = 4, answerWithinMs = 4_000 } = options;
  let queue: Pending[] = [];
  /** What is not settled, in order, of each stream. */
  const unsettled = new Map<string, Pending[]>();
  let queuedBytes = 0;
  let calls = 0;
  /** When the first of the calls was lost since one was answered; undefined while all is well. */
  let lostSince: number | undefined;
  /** The streams of the calls on their way. */
  const underWay = new Set<string>();
  let scheduled = false;
  let closed: PromiseWithResolvers<void> | undefined;

  /** Settles an append, and marks those behind it on its stream that rely on it. */
  function settle(pending: Pending, outcome: AppendResult['kind'] | 'failed', finish: () => void): void {
    const { stream } = pending.append;
    const others = unsettled.get(stream)!;
    const place = others.indexOf(pending);
    others.splice(place, 1);
    if (others.length === 0) unsettled.delete(stream);
    if (outcome !== 'appended' && pending.append.events.length > 0)
      for (const other of others.slice(place))
        if (typeof other.append.expected === 'number') other.reliesOnRefused = true;
    options.onSettled?.(outcome, performance.now() - pending.since);
    pending.settled = true;
    finish();
  }
  const succeed = (pending: Pending, result: AppendResult) =>
    settle(pending, result.kind, () => pending.resolve(result));
  const fail = (pending: Pending, error: unknown) => settle(pending, 'failed', () => pending.reject(error));

  /** Takes from the queue, in order, what may travel next. */
  function nextBatch(): Pending[] {
    const batch: Pending[] = [];
    const waits: Pending[] = [];
    let bytes = 0;
    let next = 0;
    for (; next < queue.length; next++) {
      const pending = queue[next]!;
      if (underWay.has(pending.append.stream)) {
        waits.push(pending);
        continue;
      }
      const full = batch.length === maxBatch || bytes + pending.bytes > maxBatchBytes;
      if (batch.length > 0 && (full || pending.alone || batch[0]!.alone)) break;
      batch.push(pending);
      bytes += pending.bytes;
    }
    queue = waits.concat(queue.slice(next));
    queuedBytes -= bytes;
    return batch;
  }

  function putBack(batch: Pending[]): void {
    for (const pending of batch) {
      pending.alone = true;
      queuedBytes += pending.bytes;
    }
    queue = batch.concat(queue);
  }

  /**
   * Fails what can't be sent again, and returns the rest. Also fails what relied on something that fails here: the lost
   * call may still be at work, and land it, after a repeat was told that it can't land.
   */
  function failUnknown(batch: Pending[], error: unknown): Pending[] {
    const marked = new Set(batch.filter((pending) => pending.reliesOnRefused));
    return batch.filter((pending) => {
      if (isRepeatable(pending.append) && pending.reliesOnRefused === marked.has(pending)) return true;
      fail(pending, unavailable('PostgreSQL', error));
      return false;
    });
  }

  function giveUp(batch: Pending[], error: unknown): void {
    for (const pending of [...batch, ...queue.splice(0)]) fail(pending, unavailable('PostgreSQL', error));
    queuedBytes = 0;
  }

  /** While a call is stuck: fails who has waited for too long. Of a batch all, since they may rely on each other. */
  function failOverdue(batch: Pending[]): void {
    const before = performance.now() - answerWithinMs;
    const tell = (pending: Pending) => fail(pending, unavailable('PostgreSQL', new Error('No result in time.')));
    if (batch.some(({ since, settled }) => since < before && !settled)) batch.forEach(tell);
    const overdue = queue.filter(({ since }) => since < before);
    if (overdue.length === 0) return;
    queue = queue.filter(({ since }) => since >= before);
    for (const pending of overdue) {
      queuedBytes -= pending.bytes;
      tell(pending);
    }
  }

  /** Sends a batch until it is settled, put back to travel one by one, or given up. */
  async function deliver(taken: Pending[]): Promise<void> {
    let batch = taken;
    const giveUpAt = performance.now() + options.retryForMs;
    for (let attempt = 1; batch.length > 0; attempt++) {
      const sent = batch;
      const call = options.send(sent).catch((error: unknown) => ({ error }));
      while (!(await within(lookEveryMs, call))) failOverdue(sent);
      const result = await call;
      if (sent[0]!.settled) return;
      if (Array.isArray(result)) {
        lostSince = undefined;
        sent.forEach((pending, index) => {
          succeed(pending, result[index]!);
        });
        return;
      }
      const failure = options.classify(result.error);
      if (failure === 'wrong') {
        lostSince = undefined;
        if (batch.length === 1) fail(batch[0]!, result.error);
        else putBack(batch);
        return;
      }
      const now = performance.now();
      if (failure === 'unknown') {
        lostSince ??= now;
        batch = failUnknown(batch, result.error);
      }
      const isKnown = attempt > 1 && lostSince !== undefined && now - lostSince >= options.retryForMs;
      if (isKnown || now >= giveUpAt) return giveUp(batch, result.error);
      await sleep(backoffMs(attempt, pauses));
    }
  }

  function send(): void {
    scheduled = false;
    while (calls < maxCalls) {
      const batch = nextBatch();
      if (batch.length === 0) break;
      const streams = batch.map(({ append }) => append.stream);
      for (const stream of streams) underWay.add(stream);
      calls++;
      void deliver(batch).finally(() => {
        calls--;
        for (const stream of streams) underWay.delete(stream);
        send();
      });
    }
    if (calls === 0) closed?.resolve();
  }

  return {
    append(append) {
      if (closed) return Promise.reject(unavailable('The event log', new Error('It is closed.')));
      const bytes = bytesOf(append);
      if (queue.length >= options.maxQueued || (queue.length > 0 && queuedBytes + bytes > maxQueuedBytes))
        return Promise.reject(
          new CaudalError('RESOURCE_EXHAUSTED', 'LOG_OVERLOADED', 'Too many requests wait to be recorded.', {
            retryAfterMs: 1_000,
          }),
        );
      return new Promise((resolve, reject) => {
        const since = performance.now();
        const pending = { append, reliesOnRefused: false, bytes, alone: false, since, settled: false, resolve, reject };
        const before = unsettled.get(append.stream);
        if (before) before.push(pending);
        else unsettled.set(append.stream, [pending]);
        queue.push(pending);
        queuedBytes += bytes;
        // What is appended in the same turn of the event loop travels together.
        if (!scheduled) queueMicrotask(send);
        scheduled = true;
      });
    },
    close() {
      closed ??= Promise.withResolvers();
      if (calls === 0 && !scheduled) closed.resolve();
      return closed.promise;
    },
  };
}
