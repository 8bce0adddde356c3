/**
 * Fires what is due. Several processes may run this over the same table: each timer is taken by one of them, for a while;
 * if that one dies, it is due again.
 */
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Advanced } from './advance.ts';
import { eachLimited } from './concurrency.ts';
import { type DueTimer, takeDueTimers, writeLedger } from './ledger.ts';
import type { TimedHandler } from './process-handler.ts';

const log = logger('timers');
const fired = counter('timers_fired_total', 'Timers that were due, by handler and outcome: done, again, failed.');

/** Longer than a step or two take that end by their time-out. */
const LEASE_MS = 60_000;
/** Taken at a time, and fired at once: none waits for its turn while its lease runs out. */
const BATCH = 64;
/** Something that it needs is away. */
const AWAY = { firstMs: 500, maxMs: 60_000 };
/** A timer whose work fails because of a bug is tried again ever more rarely, and never forgotten. */
const FAILED = { firstMs: 1000, maxMs: 10 * 60_000 };

export interface TimersOptions {
  database: Database;
  handlers: TimedHandler[];
  clock: Clock;
  /** How often to look, in milliseconds; 250 if absent. */
  everyMs?: number;
}

/** Starts to fire the timers of these handlers. */
export function runTimers({ database, handlers, clock, everyMs = 250 }: TimersOptions): Running {
  const byName = new Map(handlers.map((handler) => [handler.name, handler]));
  const ended = new AbortController();
  const loop = run();

  return {
    async stop() {
      ended.abort();
      await loop;
    },
  };

  async function run(): Promise<void> {
    let failures = 0;
    while (!ended.signal.aborted) {
      try {
        const due = await takeDueTimers(database, {
          handlers: [...byName.keys()],
          now: clock(),
          leaseMs: LEASE_MS,
          limit: BATCH,
        });
        await eachLimited(due, BATCH, fire);
        failures = 0;
        if (due.length < BATCH) await sleep(everyMs, ended.signal);
      } catch (error) {
        failures++;
        log.warn({ err: error }, 'timers are held up');
        await sleep(backoffMs(failures, { firstMs: everyMs, maxMs: 5000 }), ended.signal);
      }
    }
  }

  async function fire(timer: DueTimer): Promise<void> {
    const { handler, id, retries, version } = timer;
    let next: Advanced;
    try {
      next = await byName.get(handler)!.fire(timer);
      fired.add(1, { handler, outcome: next.dueAt ? 'again' : 'done' });
    } catch (error) {
      const away = isTransient(error);
      fired.add(1, { handler, outcome: away ? 'again' : 'failed' });
      log[away ? 'warn' : 'error']({ err: error, handler, id, retries }, 'a timer could not be handled');
      const pause = backoffMs(retries + 1, away ? AWAY : FAILED);
      next = { dueAt: new Date(clock().getTime() + pause), retries: retries + 1, version };
    }
    await writeLedger(database, handler, new Map(), [{ id, ...next }]);
  }
}
