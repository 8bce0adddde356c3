/**
 * Restores queues that are set aside: each is probed again and again, gets what it has missed, and is bound. It is bound
 * last, so that a queue that breaks again under the load harms nobody.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep, within } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import type { Sealer } from '../seals/sealer.ts';
import type { Bindings } from './bindings.ts';
import { clear, type Follower, forget, noteCaughtUp, type SetAside, selectFollowers } from './followers.ts';
import { probe } from './probe.ts';
import type { Relapses } from './relapses.ts';
import { isFor, sendMissed } from './send-missed.ts';

interface Entry {
  queue: SetAside;
  /** An event that it follows, to probe it with. */
  event: RecordedEvent | undefined;
  nextAt: number;
  pauseMs: number;
  /** Bound again, while the last of what it has missed is sent. */
  bound: boolean;
  inTurn: boolean;
  missingSince: number | undefined;
}

const roundMs = 500;
const maxPauseMs = 10_000;
const turnsAtOnce = 16;
const stopMs = 2_000;
/** A queue that is missing for this long was deleted. */
const deletedMs = 3_600_000;
/** Positions of the log that a queue gets at its return. Handlers read older ones from the log. */
const maxMissed = 1_000_000;
const searchLimit = 500;

const log = logger('relay');
const skipped = counter(
  'relay_missed_skipped_total',
  'Positions of the log that a queue that was set aside did not get: it was more than a million behind',
);

export interface RestoringOptions {
  broker: Broker;
  database: Database;
  log: LogReader;
  fence: Fence;
  signal: AbortSignal;
  relapses: Relapses;
  /** Absent: nothing is sealed. */
  sealer?: Sealer | undefined;
  /** The last position that was sent to the exchange. */
  sent(): number;
}

export function openRestoring({ bindings, ...options }: RestoringOptions & { bindings: Bindings }) {
  const { broker, database, fence, signal, relapses, sealer, sent } = options;
  const { domain } = options.log;
  const entries = new Map<string, Entry>();
  const turns = new Set<Promise<void>>();

  /** An event that it has missed; for a handler, which drops what it does not follow, any. */
  async function eventFor({ missedAfter, keys, stranger }: SetAside): Promise<RecordedEvent | undefined> {
    const { events } = await options.log.readLog(missedAfter, { limit: searchLimit });
    const own = events.find((event) => isFor(keys, event));
    if (own || stranger) return own;
    return events[0] ?? (await options.log.readLog(Math.max(0, missedAfter - 1), { limit: 1 })).events[0];
  }

  /** Sends it what it has missed, up to what was sent by now. False if it does not take all of it. */
  async function catchUp(entry: Entry): Promise<boolean> {
    const row = await rowOf(entry);
    if (!row) {
      // It was released, or is no longer set aside.
      entries.delete(entry.queue.queue);
      return false;
    }
    const { queue } = row;
    const end = sent();
    const after = Math.max(row.missedAfter, end - maxMissed);
    if (after > row.missedAfter) {
      log.error({ domain, queue, positions: after - row.missedAfter }, 'a queue has missed too much');
      skipped.add(after - row.missedAfter, { domain, queue });
      await noteCaughtUp(database, fence, queue, after);
    }
    const onProgress = (position: number) => noteCaughtUp(database, fence, queue, position);
    const reached = await sendMissed({
      broker,
      log: options.log,
      sealer,
      queue,
      keys: row.keys,
      after,
      end,
      onProgress,
      signal,
    });
    return reached >= end;
  }

  /** The row as it is now: a handler may have registered more keys. Undefined if the queue is no longer set aside. */
  async function rowOf(entry: Entry): Promise<(Follower & SetAside) | undefined> {
    const row = (await selectFollowers(database)).find(({ queue }) => queue === entry.queue.queue);
    if (row?.missedAfter === undefined) return undefined;
    const { missedAfter } = row;
    entry.queue = { ...row, missedAfter };
    return { ...row, missedAfter };
  }

  async function restore(entry: Entry): Promise<void> {
    const { queue } = entry.queue;
    entry.event ??= await eventFor(entry.queue);
    if (!entry.event) return;
    const answer = await probe({ broker, queue, event: entry.event, sealer, signal });
    log.info({ domain, queue, answer }, 'a queue that is set aside was probed');
    if (answer === 'missing') return forgetDeleted(entry);
    entry.missingSince = undefined;
    if (answer !== 'confirmed' || !(await catchUp(entry))) return;
    const onBound = () => {
      entry.bound = true;
    };
    if ((await bindings.bind(entry.queue, { onBound })) !== 'done') return;
    // What was sent before it was bound may not have reached it.
    if (!(await catchUp(entry))) return;
    await bindings.inTurn(queue, async () => {
      // Not if it was unbound meanwhile, because it had broken again.
      if (!entry.bound || !(await clear(database, fence, entry.queue, entry.queue.keys))) return;
      entries.delete(queue);
      relapses.returned(queue);
      log.warn({ domain, queue }, 'a queue takes messages again: it is bound');
    });
  }

  async function forgetDeleted(entry: Entry): Promise<void> {
    entry.missingSince ??= performance.now();
    if (performance.now() - entry.missingSince < deletedMs) return;
    const row = await rowOf(entry);
    if (row) await forget(database, row);
    entries.delete(entry.queue.queue);
  }

  async function turn(entry: Entry): Promise<void> {
    entry.inTurn = true;
    try {
      await restore(entry);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ domain, queue: entry.queue.queue, err: error }, 'a queue that is set aside could not be restored');
    } finally {
      entry.inTurn = false;
      entry.nextAt = performance.now() + entry.pauseMs;
      entry.pauseMs = Math.max(entry.pauseMs, Math.min(maxPauseMs, entry.pauseMs * 1.5));
    }
  }

  /** Begins the turns that are due. */
  function beginTurns(): void {
    const now = performance.now();
    for (const entry of entries.values()) {
      if (turns.size >= turnsAtOnce || signal.aborted) return;
      if (entry.inTurn || entry.nextAt > now) continue;
      const begun = turn(entry).then(() => {
        turns.delete(begun);
      });
      turns.add(begun);
    }
  }

  return {
    add(queue: SetAside, event?: RecordedEvent): void {
      if (entries.has(queue.queue)) return;
      const pauseMs = relapses.pauseMs(queue.queue);
      const nextAt = performance.now() + pauseMs;
      const state = { bound: false, inTurn: false, missingSince: undefined };
      entries.set(queue.queue, { queue, event, nextAt, pauseMs, ...state });
    },
    remove: (queue: string) => entries.delete(queue),
    /** Whether a queue is set aside and not bound. */
    isUnbound: (queue: string) => entries.get(queue)?.bound === false,
    /** The queues that are set aside. Those of them that were bound again count as unbound from now on. */
    all(): SetAside[] {
      for (const entry of entries.values()) {
        if (entry.bound) relapses.returned(entry.queue.queue);
        entry.bound = false;
      }
      return [...entries.values()].map(({ queue }) => queue);
    },
    /** Until the signal fires; then what is in flight has 2 s to end. Never throws. */
    async run(): Promise<void> {
      while (!signal.aborted) {
        await sleep(roundMs, signal);
        beginTurns();
      }
      await within(stopMs, Promise.all(turns));
    },
  };
}
