/**
 * Fires what is due. Several processes may run this over the same table: each timer is taken by one of them, for a while;
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
import { type DueTimer, hastenTimers, takeDueTimers, writeCursors } from './cursor-store.ts';
import type { TimedHandler } from './saga-handler.ts';

const log = logger('timers');
const fired = counter('timers_fired_total', 'Timers that were due, by handler and outcome: done, again, failed.');

/** Longer than a step or two take that end by their time-out. */
const LEASE_MS = 60_000;
/** A handler's timers that are fired at once. No more are taken: none waits for its turn while its lease runs out. */
const PLACES = 128;
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
  /** How often to look, in milliseconds; 250 if absent. */
  everyMs?: number;
}

/** Starts to fire the timers of these handlers. */
export function runTimers({ database, handlers, clock, everyMs = 250 }: TimersOptions): Running {
  const ended = new AbortController();
  // Each by itself: a handler whose work hangs has its own places taken, not those of the others.
  const loops = Promise.all(handlers.map(run));

  return {
    async stop() {
      ended.abort();
      await loops;
      await Promise.all(handlers.map((handler) => handler.settled()));
    },
  };

  async function run(handler: TimedHandler): Promise<void> {
    const firing = new Set<Promise<void>>();
    let failures = 0;
    let before = clock();
    while (!ended.signal.aborted) {
      try {
        const limit = PLACES - firing.size;
        const now = clock();
        if (before.getTime() - now.getTime() > SET_BACK_MS) await hasten(handler.name, now, before);
        before = now;
        const due = await takeDueTimers(database, { handlers: [handler.name], now, leaseMs: LEASE_MS, limit });
        for (const timer of due) {
          const work = fire(handler, timer).finally(() => firing.delete(work));
          firing.add(work);
        }
        failures = 0;
        // With all places taken more may be due: then as soon as one is free.
        if (due.length < limit) await sleep(everyMs, ended.signal);
        else await Promise.race(firing);
      } catch (error) {
        failures++;
        log.warn({ handler: handler.name, err: error }, 'timers are held up');
        await sleep(backoffMs(failures, { firstMs: everyMs, maxMs: 5000 }), ended.signal);
      }
    }
    await Promise.all(firing);
  }

  async function hasten(handler: string, now: Date, before: Date): Promise<void> {
    log.warn({ handler, now, before }, 'the clock was set back: timers are looked at now');
    await hastenTimers(database, { handler, now, until: new Date(before.getTime() + LONGEST_PAUSE_MS) });
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
