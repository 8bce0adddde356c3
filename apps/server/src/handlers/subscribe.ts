/** Runs an event handler: from its queue if there is a broker, else from the logs. One that needs the logs' order always reads the logs. */
import type { Context } from '@caudal/context/context.ts';
import { domainsOf } from '@caudal/contract/entity.ts';
import { brokerDeadLetters } from '@caudal/messaging/dead-letters/dead-letters.ts';
import { rabbitFeed } from '@caudal/messaging/rabbitmq/rabbit-feed.ts';
import { openUnsealed } from '@caudal/messaging/seals/unsealed.ts';
import { logFeed } from '@caudal/messaging/subscription/log-feed.ts';
import { runSubscription, type Subscription } from '@caudal/messaging/subscription/subscription.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { App } from '../app.ts';
import { watchFeed } from './liveness.ts';

/** Lease time if a process owns its database: no other process waits for the lease, so it is seldom renewed. */
const OWNED_LEASE_MS = 120_000;
/** Where a broker's queue would go on at once, a lease has to expire when its process dies. */
const SOON_MS = 5_000;

/**
 * Starts the handler and adds it to /livez. `database`: of the handler's context, for parked streams and checkpoints.
 */
export function subscribe(app: App, context: Context, database: Database, handler: AnyHandler): Subscription {
  const { values, holder, stores, lifecycle } = app;
  const { check } = app.seals;
  const { broker } = stores;
  // Nothing is lost on the way from a log, so there is nothing to sweep for.
  const queued = handler.inOrder ? undefined : broker;
  const logs = app.logsFor(context, domainsOf(handler.entities));
  const maxBatch = Math.ceil(values.CAUDAL_PREFETCH / 2);
  const { watched, problem } = watchFeed(
    queued
      ? rabbitFeed({
          broker: queued,
          handler,
          registries: app.registriesFor(context, domainsOf(handler.entities)),
          members: app.members.get(context.name),
          prefetch: values.CAUDAL_PREFETCH,
          seals: check && { check, readUnsealed: openUnsealed({ handler: handler.name, logs }) },
        })
      : logFeed({
          handler,
          logs,
          database,
          holder,
          ttlMs: values.DATABASE_URL === undefined ? OWNED_LEASE_MS : undefined,
          maxBatch,
          ...(handler.inOrder && { prompt: true, ttlMs: SOON_MS }),
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
    reconciliation: queued
      ? { everyMs: values.CAUDAL_RECONCILIATION_INTERVAL, minAgeMs: values.CAUDAL_RECONCILIATION_MIN_AGE }
      : false,
  });
  const removeCheck = lifecycle.addCheck(`subscription ${handler.name}`, 'live', problem);
  return {
    ready: running.ready,
    async stop() {
      removeCheck();
      await running.stop();
      await deadLetters?.close();
    },
  };
}
