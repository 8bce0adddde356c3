/** Puts an event handler to work: from its queue where there is a broker, else from the logs. */
import type { Context } from '@caudal/context/context.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { brokerDeadLetters } from '@caudal/messaging/dead-letters.ts';
import { logFeed } from '@caudal/messaging/log-feed.ts';
import { rabbitFeed } from '@caudal/messaging/rabbit-feed.ts';
import { runSubscription } from '@caudal/messaging/subscription.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { domainsOf } from './domains.ts';
import { watchFeed } from './liveness.ts';
import type { Process } from './process.ts';

/** Of the checkpoints of a process that owns its database: nobody waits for them to expire, so they are seldom renewed. */
const OWNED_LEASE_MS = 120_000;

/** Starts it, and makes it a condition of /livez. `database`: of the context that the handler belongs to, for what it keeps beside its own. */
export function subscribe(process: Process, context: Context, database: Database, handler: EventHandler): Running {
  const { values, holder, stores, lifecycle } = process;
  const { broker } = stores;
  const logs = process.logsFor(context, domainsOf(handler.entities));
  const { watched, problem } = watchFeed(
    broker
      ? rabbitFeed({ broker, handler, prefetch: values.CAUDAL_PREFETCH })
      : logFeed({
          handler,
          logs,
          database,
          holder,
          ttlMs: values.DATABASE_URL === undefined ? OWNED_LEASE_MS : undefined,
          maxBatch: Math.ceil(values.CAUDAL_PREFETCH / 2),
        }),
  );
  const deadLetters = broker && brokerDeadLetters({ broker, handler: handler.name });
  const running = runSubscription({
    handler,
    feed: watched,
    logs,
    database,
    holder,
    deadLetters,
    sweep: broker ? { everyMs: values.CAUDAL_SWEEP_INTERVAL, minAgeMs: values.CAUDAL_SWEEP_MIN_AGE } : false,
  });
  const removeCheck = lifecycle.addCheck(`subscription ${handler.name}`, 'live', problem);
  return {
    async stop() {
      removeCheck();
      await running.stop();
      await deadLetters?.close();
    },
  };
}
