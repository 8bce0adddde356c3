/**
 * Fires what is due. A look at the table every second, for all handlers together, finds what is due before the next one, and
 * what this process sets in between it knows by itself: so a timer is taken at its time, and a system that idles asks one
 * question a second.
 *
 * Several processes may run this over the same table: each timer is taken by one of them, for a while;
 * if that one dies, it is due again.
 *
 * Times are the wall clock's, since a process that starts must know what was due before. When that clock is set back, what
 * was to be tried again in a second would wait for as long as it went back. So all that may be affected is fired at once:
 * whatever waits for a time of its own, a reservation's end say, finds out that it is early, and is due then again.
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

/** Longer than a step or two take that end by their time-out. */
const LEASE_MS = 60_000;
/** A handler's timers that are fired at once. No more are taken: none waits for its turn while its lease runs out. */
const PLACES = 128;
/** Between two takes of a handler: timers that are due one after the other are taken together. */
const GAP_MS = 50;
/** The table can't be read or written. */
const HELD_UP = { firstMs: 250, maxMs: 5_000 };
/** Something that it needs is away. */
const AWAY = { firstMs: 500, maxMs: 60_000 };
/** A timer whose work fails because of a bug is tried again ever more rarely, and never forgotten. */
const FAILED = { firstMs: 1000, maxMs: 10 * 60_000 };
/** No try again, and no lease, is further ahead. */
const LONGEST_PAUSE_MS = FAILED.maxMs;
/** A clock that goes back by less delays no timer by much. */
const SET_BACK_MS = 1_000;

export interface TimersOptions {
  database: Database;
  handlers: TimedHandler[];
  clock: Clock;
  /** How often to look for what other processes have set, in milliseconds; 1,000 if absent. */
  everyMs?: number;
}

/** Starts to fire the timers of these handlers. */
export function runTimers({ database, handlers, clock, everyMs = 1_000 }: TimersOptions): Running {
  const ended = new AbortController();
  const names = handlers.map(({ name }) => name);
  const alarms = new Map(names.map((name) => [name, openAlarm()]));
  const forget = names.map((name) => onTimersSet(database, name, (dueAt) => alarms.get(name)!.sooner(dueAt)));
  // Each by itself: a handler whose work hangs has its own places taken, not those of the others.
  const loops = Promise.all([lookAhead(), ...handlers.map(run)]);

  return {
    async stop() {
      ended.abort();
      await loops;
      for (const end of forget) end();
      await Promise.all(handlers.map((handler) => handler.settled()));
    },
  };

  /** Learns what these handlers have due before the next look. */
  async function look(of: string[], now: Date): Promise<void> {
    const until = new Date(now.getTime() + 2 * everyMs);
    for (const { handler, dueAt } of await dueSoon(database, { handlers: of, until }))
      alarms.get(handler)!.sooner(dueAt);
  }

  async function lookAhead(): Promise<void> {
    let failures = 0;
    let before = clock();
    while (!ended.signal.aborted) {
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
      // At least as often as the table is looked at: the clock may be set.
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
        // With all places taken more may be due: then as soon as one is free.
        if (due.length === limit) await Promise.race(firing);
        else await sleep(Math.min(GAP_MS, everyMs), ended.signal);
        // The alarm knew of the earliest only.
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
    log.warn({ handlers: names, now, before }, 'the clock was set back: timers are looked at now');
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
      log.warn({ err: error, handler, id }, 'what came of a timer could not be noted: it is due again');
    });
  }
}
