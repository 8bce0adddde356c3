/**
 * Group commit: appends that arrive while calls are in flight share the next call. There are no timers: an idle log
 * takes an append at once, a busy log takes all that have gathered. So batches grow with the load.
 *
 * Up to `maxCalls` calls are in flight at a time, so that the log processes one while others are encoded, sent or
 * decoded here. They never have a stream in common: an append waits while an earlier one of any of its streams is in a
 * call, or waits itself.
 *
 * An append is in one of these states:
 *   queued    waits for a call. Bounded in number and bytes; more are RESOURCE_EXHAUSTED.
 *   sent      part of a call in flight.
 *   settled   has a result or an error.
 * A call has one of these outcomes:
 *   results   Each append is settled with its own.
 *   wrong     The statement was refused and nothing happened. Each append of the batch is sent again alone, so that
 *             only the wrong one fails.
 *   busy      Nothing happened, but it can later (its turn did not come for too long). The same batch is sent again.
 *   unknown   The connection was lost, before or after the call was done. Appends that are safe to repeat are sent
 *             again; the others fail. An append is safe if it carries a command, whose repeat is recognised, or if it
 *             writes nothing.
 *   stuck     The call has no outcome for `answerWithinMs`: another session holds the log, a call before it on the
 *             connection waits for that, or the server hangs. Appends that have waited for so long fail with
 *             UNAVAILABLE, those in the queue too, so that their callers get the cause before their own time is over.
 *             The call keeps its slot and its streams until it ends; then its outcome is dropped.
 * Repeats end after `retryForMs`. Then the batch and all appends in the queue fail with UNAVAILABLE, which bounds their
 * wait. If no call was answered for `retryForMs`, the log counts as unreachable. From then on each new batch is sent
 * twice, as a probe, and fails if both calls do.
 *
 * An append with an exact version of a stream relies on the appends of the stream that were not settled when it was made.
 * If one of these has events for it and settles with anything but 'appended', those behind it are marked, and the log
 * refuses them, with all their streams.
 * (Inside a batch append() does the same.)
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { type Backoff, backoffMs, sleep, within } from '@caudal/kernel/time.ts';
import { type Judgeable, partsOf, writes } from './append.ts';
import type { Append, AppendResult, StreamAppend } from './types.ts';

export type Failure = 'wrong' | 'busy' | 'unknown';

export interface GroupCommitOptions {
  /** Sends a batch; resolves with one result for each append, in order. */
  send(batch: Judgeable[]): Promise<AppendResult[]>;
  /** What an error of `send` means. */
  classify(error: unknown): Failure;
  /** How long a batch is repeated before it fails. */
  retryForMs: number;
  /** An append that has waited for this long fails, even if its call is still in flight; 4,000 ms if absent. */
  answerWithinMs?: number;
  /** Appends that may wait. */
  maxQueued: number;
  /** Calls in flight at a time; 4 if absent. With more, PostgreSQL is as busy, but batches are smaller. */
  maxCalls?: number;
  /** Called for each append once it is settled, with the milliseconds since the append was made. */
  onSettled?(outcome: AppendResult['kind'] | 'failed', ms: number): void;
}

export interface GroupCommit {
  /** Fails with RESOURCE_EXHAUSTED, UNAVAILABLE, or what `send` throws if the append itself is wrong. */
  append(append: Append): Promise<AppendResult>;
  /** Refuses further appends, and waits for those in the queue. */
  close(): Promise<void>;
}

interface Pending extends Judgeable {
  parts: StreamAppend[];
  /** Streams, events and claims. */
  rows: number;
  bytes: number;
  /** It is sent alone, because a batch that it was part of was wrong. */
  alone: boolean;
  since: number;
  settled: boolean;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
}

const maxBatch = 500;
/** 500 appends of an order's lines have fewer; units of a hundred streams may have more. */
const maxBatchRows = 10_000;
const maxBatchBytes = 4 * 1024 * 1024;
const maxQueuedBytes = 64 * 1024 * 1024;
const pauses: Backoff = { firstMs: 20, maxMs: 1_000 };
/** While a call is in flight, this often the appends that have waited for too long are failed. */
const lookEveryMs = 250;

function bytesOf(append: Append): number {
  let bytes = append.command?.reply?.length ?? 0;
  for (const { record } of append.claims ?? []) bytes += record?.outcome.length ?? 0;
  for (const { events } of partsOf(append))
    for (const { data, metadata } of events) bytes += data.length + metadata.length;
  return bytes;
}

/** Streams, events and claims: what the log's work in a call grows with. */
function rowsOf(append: Append): number {
  return partsOf(append).reduce((sum, { events }) => sum + 1 + events.length, append.claims?.length ?? 0);
}

/** Whether doing it twice is the same as doing it once. */
function isRepeatable(append: Append): boolean {
  return append.command?.reply !== undefined || !writes(append);
}

/** Whether the append expects an exact version of the stream. */
function isExact({ parts }: Pending, stream: string): boolean {
  return parts.some((part) => part.stream === stream && typeof part.expected === 'number');
}

export function groupCommit(options: GroupCommitOptions): GroupCommit {
  const { maxCalls = 4, answerWithinMs = 4_000 } = options;
  let queue: Pending[] = [];
  /** The appends of each stream that are not settled, in order. */
  const unsettled = new Map<string, Pending[]>();
  let queuedBytes = 0;
  let calls = 0;
  /** When the first call was lost since the last answer; undefined if none was. */
  let lostSince: number | undefined;
  /** The streams of the calls in flight. */
  const underWay = new Set<string>();
  let scheduled = false;
  let closed: PromiseWithResolvers<void> | undefined;

  /** Settles an append, and marks those behind it on its streams that rely on it. */
  function settle(pending: Pending, outcome: AppendResult['kind'] | 'failed', finish: () => void): void {
    for (const { stream, events } of pending.parts) {
      const others = unsettled.get(stream)!;
      const place = others.indexOf(pending);
      others.splice(place, 1);
      if (others.length === 0) unsettled.delete(stream);
      if (outcome !== 'appended' && events.length > 0)
        for (const other of others.slice(place)) other.reliesOnRefused ||= isExact(other, stream);
    }
    options.onSettled?.(outcome, performance.now() - pending.since);
    pending.settled = true;
    finish();
  }
  const succeed = (pending: Pending, result: AppendResult) =>
    settle(pending, result.kind, () => pending.resolve(result));
  const fail = (pending: Pending, error: unknown) => settle(pending, 'failed', () => pending.reject(error));

  /** Takes the next batch from the queue, in order. */
  function nextBatch(): Pending[] {
    const batch: Pending[] = [];
    const waits: Pending[] = [];
    // An append that waits holds back those behind it on all its streams.
    const held = new Set(underWay);
    let bytes = 0;
    let rows = 0;
    let next = 0;
    for (; next < queue.length; next++) {
      const pending = queue[next]!;
      if (pending.parts.some(({ stream }) => held.has(stream))) {
        for (const { stream } of pending.parts) held.add(stream);
        waits.push(pending);
        continue;
      }
      const full =
        batch.length === maxBatch || rows + pending.rows > maxBatchRows || bytes + pending.bytes > maxBatchBytes;
      if (batch.length > 0 && (full || pending.alone || batch[0]!.alone)) break;
      batch.push(pending);
      bytes += pending.bytes;
      rows += pending.rows;
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
   * Fails the appends that can't be sent again, and returns the rest. Also fails those that relied on one that fails
   * here: the lost call may still land them, after a repeat of them has been refused.
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

  /** Fails the appends that have waited for too long; of a batch all, since they may rely on each other. */
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

  /** Sends a batch until it is settled, put back to be sent one by one, or given up. */
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
      const streams = batch.flatMap(({ parts }) => parts.map(({ stream }) => stream));
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
          new CaudalError('RESOURCE_EXHAUSTED', 'LOG_OVERLOADED', 'Too many commands wait to be recorded. Try again.', {
            retryAfterMs: 1_000,
          }),
        );
      return new Promise((resolve, reject) => {
        const since = performance.now();
        const parts = partsOf(append);
        const state = { reliesOnRefused: false, alone: false, settled: false };
        const pending: Pending = { append, parts, rows: rowsOf(append), bytes, since, ...state, resolve, reject };
        for (const { stream } of parts) {
          const before = unsettled.get(stream);
          if (before) before.push(pending);
          else unsettled.set(stream, [pending]);
        }
        queue.push(pending);
        queuedBytes += bytes;
        // Appends that are made in the same turn of the event loop share a call.
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
