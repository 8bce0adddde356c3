/** For tests over RabbitMQ: logs of orders, each with a schema and a broker of its own, and what relays and handles their events. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { migrations } from '../migrations.ts';
import { type RabbitFeedOptions, rabbitFeed } from '../rabbitmq/rabbit-feed.ts';
import { bindHandler } from '../rabbitmq/register.ts';
import type { QueuedHandler } from '../rabbitmq/topology.ts';
import { followerRegistry } from '../relay/followers.ts';
import { type RelayOptions, startRelay } from '../relay/relay.ts';
import { runSubscription, type SubscriptionOptions } from '../subscription/subscription.ts';
import type { EventHandler } from '../types.ts';
import { testBroker } from './rabbit.ts';

interface OrdersOptions {
  /** The handlers whose queues are deleted in the end. */
  owns: string[];
  /** Of the broker, if not the real one: of a proxy, say. */
  brokerUrl?: string | undefined;
}

/** For one `describe`. What a test begins is ended after it, the last first. */
export function ordersLogs() {
  let fresh: FreshDatabase;
  let count = 0;
  const ends: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  afterAll(() => fresh.drop());

  const onEnd = (end: () => Promise<unknown>): void => void ends.push(end);

  /** Stops it in the end, unless the test does. */
  function ending<R extends Running>(running: R): R {
    let stopped: Promise<void> | undefined;
    const stop = () => (stopped ??= running.stop());
    onEnd(stop);
    return { ...running, stop };
  }

  /** A log without events. Nothing is bound, relayed or consumed yet. */
  async function open({ owns, brokerUrl }: OrdersOptions) {
    const schema = `s${count++}`;
    const { url } = fresh;
    await migrate({ url, schema, sets: [postgresMigrations, logMigrations, migrations] });
    const database = openDatabase({ url, schema });
    onEnd(() => database.close());
    const rabbit = testBroker(brokerUrl);
    onEnd(() => rabbit.close());
    rabbit.owns(owns, ['orders']);
    const { broker } = rabbit;
    const log = openEventLog({ database, domain: 'orders' });
    onEnd(() => log.stop());
    const logs = new Map([['orders', log]]);
    const registries = new Map([['orders', followerRegistry(database, 'orders')]]);

    return {
      ...{ url, schema, database, rabbit, broker, log, logs, registries },
      bind: (handler: QueuedHandler) => bindHandler({ broker: rabbit.direct, handler, registries }),
      relay: (options: Partial<RelayOptions> = {}) => ending(startRelay({ log, database, broker, ...options })),
      /** Without reconciliation. `queue`: options of the feed. */
      consume(
        handler: EventHandler,
        options: Partial<SubscriptionOptions> & { queue?: Partial<RabbitFeedOptions> } = {},
      ) {
        const { queue, ...subscription } = options;
        const feed = rabbitFeed({ broker, handler, registries, ...queue });
        return ending(runSubscription({ handler, feed, logs, database, reconciliation: false, ...subscription }));
      },
    };
  }

  return { open, onEnd, ending };
}
