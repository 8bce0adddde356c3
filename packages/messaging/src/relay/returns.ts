/**
 * The return of queues that were set aside: each is probed again and again, gets what it has missed, and is bound. It is
 * bound last, so that a queue that breaks again under the load harms nobody.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import type { Bindings } from './bindings.ts';
import { type BoundQueue, clear, forget, noteCaughtUp, selectFollowers } from './followers.ts';
import { probe } from './probe.ts';
import { sendMissed } from './send-missed.ts';

/** A queue that is set aside. */
export interface Away extends BoundQueue {
  missedAfter: number;
}

interface Entry {
  of: Away;
  /** An event that it follows, to probe it with. */
  event: RecordedEvent | undefined;
  nextAt: number;
  pauseMs: number;
  /** Bound again, while the last of what it has missed is sent. */
  bound: boolean;
  returning: boolean;
  missingSince: number | undefined;
}

const roundMs = 500;
const firstPauseMs = 2_000;
const maxPauseMs = 10_000;
/** The longest pause of a queue that breaks again and again after it was bound. */
const maxRelapsePauseMs = 300_000;
/** After this long without a relapse, earlier ones are forgotten. */
const relapseMs = 600_000;
/** A queue that is missing for this long was deleted. */
const deletedMs = 3_600_000;
/** Events that a queue gets at its return. Handlers read older ones from the log. */
const maxMissed = 1_000_000;

const log = logger('relay');
const skipped = counter('relay_missed_skipped_total', 'Events that queues missed for good: more than a million each');

export function openReturns(options: {
  broker: Broker;
  database: Database;
  log: LogReader;
  fence: Fence;
  signal: AbortSignal;
  bindings: Bindings;
  /** The last position that was sent to the exchange. */
  sent(): number;
}) {
  const { broker, database, fence, signal, bindings, sent } = options;
  const { domain } = options.log;
  const entries = new Map<string, Entry>();
  const turns = new Set<Promise<void>>();
  const relapses = new Map<string, { count: number; at: number }>();

  function pauseAfter(queue: string): number {
    const now = performance.now();
    for (const [name, { at }] of relapses) if (now - at > relapseMs) relapses.delete(name);
    const count = relapses.get(queue)?.count ?? 0;
    return count === 0 ? firstPauseMs : Math.min(maxRelapsePauseMs, maxPauseMs * 2 ** count);
  }

  function postpone(entry: Entry): void {
    entry.nextAt = performance.now() + entry.pauseMs;
    entry.pauseMs = Math.max(entry.pauseMs, Math.min(maxPauseMs, entry.pauseMs * 1.5));
  }

  /** An event after the position that it has, or the one there. */
  async function eventFor({ missedAfter }: Away): Promise<RecordedEvent | undefined> {
    const { events } = await options.log.readLog(Math.max(0, missedAfter - 1), { limit: 2 });
    return events.at(-1);
  }

  async function tryReturn(entry: Entry): Promise<void> {
    const { of } = entry;
    const queue = bindings.fullName(of);
    entry.event ??= await eventFor(of);
    if (!entry.event) return;
    const answer = await probe({ broker, queue, event: entry.event });
    log.info({ domain, queue: of.queue, answer }, 'a queue that is set aside was probed');
    if (answer === 'missing') {
      entry.missingSince ??= performance.now();
      if (performance.now() - entry.missingSince > deletedMs) await forgetDeleted(of);
      return;
    }
    entry.missingSince = undefined;
    if (answer !== 'confirmed') return;
    if (!(await catchUp(of, queue))) return;
    // A handler may have registered more keys since it was set aside.
    const row = (await selectFollowers(database)).find((one) => one.queue === of.queue);
    if (row) of.keys = row.keys;
    const setBound = () => {
      entry.bound = true;
    };
    if ((await bindings.bind(of, setBound)) !== 'done') return;
    // What was sent before it was bound may not have reached it.
    if (!(await catchUp(of, queue)) || !(await clear(database, fence, of))) return;
    entries.delete(of.queue);
    relapses.set(of.queue, { count: (relapses.get(of.queue)?.count ?? 0) + 1, at: performance.now() });
    log.warn({ domain, queue: of.queue }, 'a queue takes messages again: it is bound');
  }

  /** Sends it what it has missed, up to what was sent by now. False if it does not take all of it. */
  async function catchUp(of: Away, queue: string): Promise<boolean> {
    const end = sent();
    const after = Math.max(of.missedAfter, end - maxMissed);
    if (after > of.missedAfter) {
      log.error({ domain, queue: of.queue, events: after - of.missedAfter }, 'a queue has missed too many events');
      skipped.add(after - of.missedAfter, { domain, queue: of.queue });
    }
    of.missedAfter = await sendMissed({
      broker,
      log: options.log,
      queue,
      keys: of.keys,
      after,
      end: () => end,
      onProgress: (position) => noteCaughtUp(database, fence, of.queue, position),
      signal,
    });
    return of.missedAfter >= end;
  }

  async function forgetDeleted(of: Away): Promise<void> {
    const row = (await selectFollowers(database)).find(({ queue }) => queue === of.queue);
    if (row) await forget(database, row);
    entries.delete(of.queue);
  }

  async function turn(entry: Entry): Promise<void> {
    entry.returning = true;
    try {
      await tryReturn(entry);
    } catch (error) {
      log.warn({ domain, queue: entry.of.queue, err: error }, 'a queue that is set aside could not be bound again');
    } finally {
      entry.returning = false;
      postpone(entry);
    }
  }

  return {
    add(of: Away, event?: RecordedEvent): void {
      if (entries.has(of.queue)) return;
      const pauseMs = pauseAfter(of.queue);
      entries.set(of.queue, {
        of: { ...of },
        event,
        nextAt: performance.now() + pauseMs,
        pauseMs,
        bound: false,
        returning: false,
        missingSince: undefined,
      });
    },
    remove: (queue: string) => entries.delete(queue),
    /** Whether a queue is set aside and not bound. */
    isAway: (queue: string) => entries.get(queue)?.bound === false,
    /** The queues that are bound and not yet through: from now on they are away again. */
    relapsed(): Away[] {
      const those = [...entries.values()].filter(({ bound }) => bound);
      for (const entry of those) entry.bound = false;
      return those.map(({ of }) => of);
    },
    /** Until the signal fires. Never throws. */
    async run(): Promise<void> {
      while (!signal.aborted) {
        await sleep(roundMs, signal);
        const now = performance.now();
        for (const entry of entries.values())
          if (!entry.returning && entry.nextAt <= now && !signal.aborted) {
            const taken = turn(entry);
            turns.add(taken);
            taken.finally(() => turns.delete(taken));
          }
      }
      await Promise.all(turns);
    },
  };
}
