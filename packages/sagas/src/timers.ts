/**
 * Fires due timers. Once a second one statement reads what is due soon, for all handlers together; what this process
 * sets it knows without that. Several processes may run this on the same table: each timer is taken by one of them
 * under a lease, and is due again if that process dies. See README, Why so, also for a wall clock that is set back.
 */
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Advanced } from './advance.ts';
import { openAlarm } from './alarm.ts';
import { type DueTimer, dueSoon, hastenTimers, onTimersSet, takeDueTimers, writeCursors } from './cursor-store.ts';
import type { TimedHandler } from './saga-handler.ts';

const log = logger('timers');
const fired = counter('timers_fired_total', 'Timers that were due, by handler and outcome: done, again, failed.');

/** Longer than a step or two with a time-out of 15 s each. */
const LEASE_MS = 60_000;
/** The timers of a handler that are fired at once. No more are taken, since a lease must not run out while waiting. */
const PLACES = 128;
/** Between two takes of a handler, so that timers that are due shortly after each other are taken together. */
const GAP_MS = 50;
/** The table can't be read or written. */
const HELD_UP = { firstMs: 250, maxMs: 5_000 };
/** A dependency of the timer's work is unreachable. */
const AWAY = { firstMs: 500, maxMs: 60_000 };
/** A timer whose work fails because of a bug is retried less and less often, and never dropped. */
const FAILED = { firstMs: 1000, maxMs: 10 * 60_000 };
/** No retry and no lease is further ahead. */
const LONGEST_PAUSE_MS = FAILED.maxMs;
/** A clock that goes back by less delays no timer by much. */
const SET_BACK_MS = 1_000;

export interface TimersOptions {
  database: Database;
  handlers: TimedHandler[];
  clock: Clock;
  /** How often to read what other processes have set, in milliseconds; 1,000 if absent. */
  everyMs?: number;
  /** Called in each round of a loop: `poll`, and a handler's name. A loop that hangs makes no more rounds. */
  onRound?(loop: string): void;
}

/** Starts to fire the timers of these handlers. */
export function runTimers({ database, handlers, clock, everyMs = 1_000, onRound }: TimersOptions): Running {
  const ended = new AbortController();
  const names = handlers.map(({ name }) => name);
  const alarms = new Map(names.map((name) => [name, openAlarm()]));
  const forget = names.map((name) => onTimersSet(database, name, (dueAt) => alarms.get(name)!.sooner(dueAt)));
  // Each by itself: a handler whose work hangs takes its own places, not those of the others.
  const loops = Promise.all([lookAhead(), ...handlers.map(run)]);

  return {
    async stop() {
      ended.abort();
      await loops;
      for (const end of forget) end();
      await Promise.all(handlers.map((handler) => handler.settled()));
    },
  };

  /** Reads what these handlers have due before the next read. */
  async function look(of: string[], now: Date): Promise<void> {
    const until = new Date(now.getTime() + 2 * everyMs);
    for (const { handler, dueAt } of await dueSoon(database, { handlers: of, until }))
      alarms.get(handler)!.sooner(dueAt);
  }

  async function lookAhead(): Promise<void> {
    let failures = 0;
    let before = clock();
    while (!ended.signal.aborted) {
      onRound?.('poll');
      try {
        const now = clock();
        if (before.getTime() - now.getTime() > SET_BACK_MS) await hasten(now, before);
        before = now;
        await look(names, now);
        failures = 0;
        await sleep(everyMs, ended.signal);
      } catch (error) {
        failures++;
        log.warn({ handlers: names, err: error }, 'timers are held up');
        await sleep(backoffMs(failures, HELD_UP), ended.signal);
      }
    }
  }

  async function run(handler: TimedHandler): Promise<void> {
    const firing = new Set<Promise<void>>();
    const alarm = alarms.get(handler.name)!;
    let failures = 0;
    while (!ended.signal.aborted) {
      onRound?.(handler.name);
      // Not longer than between two reads of the table, since the clock may be set.
      const waitMs = alarm.next ? Math.min(everyMs, alarm.next.getTime() - clock().getTime()) : everyMs;
      if (waitMs > 0) {
        await alarm.wait(waitMs, ended.signal);
        continue;
      }
      try {
        alarm.clear();
        const limit = PLACES - firing.size;
        const now = clock();
        const due = await takeDueTimers(database, { handlers: [handler.name], now, leaseMs: LEASE_MS, limit });
        for (const timer of due) {
          const work = fire(handler, timer).finally(() => firing.delete(work));
          firing.add(work);
        }
        // If all places are taken, more timers may be due: they are taken as soon as a place is free.
        if (due.length === limit) await Promise.race(firing);
        else await sleep(Math.min(GAP_MS, everyMs), ended.signal);
        // The alarm had only the earliest.
        await look([handler.name], clock());
        failures = 0;
      } catch (error) {
        failures++;
        log.warn({ handler: handler.name, err: error }, 'timers are held up');
        await sleep(backoffMs(failures, HELD_UP), ended.signal);
        alarm.sooner(clock());
      }
    }
    await Promise.all(firing);
  }

  async function hasten(now: Date, before: Date): Promise<void> {
    log.warn({ handlers: names, now, before }, 'the clock was set back: timers are fired now');
    const until = new Date(before.getTime() + LONGEST_PAUSE_MS);
    for (const handler of names) await hastenTimers(database, { handler, now, until });
  }

  async function fire(owner: TimedHandler, timer: DueTimer): Promise<void> {
    const { handler, id, retries, version } = timer;
    let next: Advanced;
    try {
      next = await owner.fire(timer);
      fired.add(1, { handler, outcome: next.dueAt ? 'again' : 'done' });
    } catch (error) {
      const away = isTransient(error);
      fired.add(1, { handler, outcome: away ? 'again' : 'failed' });
      log[away ? 'warn' : 'error']({ err: error, handler, id, retries }, 'a timer could not be handled');
      const pause = backoffMs(retries + 1, away ? AWAY : FAILED);
      next = { dueAt: new Date(clock().getTime() + pause), retries: retries + 1, version };
    }
    await writeCursors(database, handler, new Map(), [{ id, ...next }]).catch((error: unknown) => {
      log.warn({ err: error, handler, id }, 'the result of a timer could not be written: it is due again');
    });
  }
}
