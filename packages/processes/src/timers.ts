/**
 * Fires what is due. Several processes may run this over the same table: each timer is taken by one of them, for a while;
 * if that one dies, it is due again.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';
import { eachLimited } from './concurrency.ts';
import { type DueTimer, takeDueTimers, writeLedger } from './ledger.ts';
import type { TimedHandler } from './process-handler.ts';

const log = logger('timers');
const fired = counter('timers_fired_total', 'Timers that were due, by handler and outcome: done, again, failed.');
const stuck = gauge('timer_failures_in_a_row', 'How often the timer that fails most has failed.', '1');

const LEASE_MS = 60_000;
const BATCH = 200;
const CONCURRENCY = 32;
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
        await eachLimited(due, CONCURRENCY, fire);
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
    const next = await byName
      .get(handler)!
      .fire(timer)
      .then(
        (advanced) => {
          fired.add(1, { handler, outcome: advanced.dueAt ? 'again' : 'done' });
          return advanced;
        },
        (error) => {
          fired.add(1, { handler, outcome: 'failed' });
          stuck.set(retries + 1, { handler });
          log.error({ err: error, handler, id, retries }, 'a timer could not be handled');
          return { dueAt: new Date(clock().getTime() + backoffMs(retries + 1, FAILED)), retries: retries + 1, version };
        },
      );
    await writeLedger(database, handler, new Map(), [{ id, ...next }]);
  }
}
