/** Handlers of one log under a steady load, which measure what reaches them: for tests and benchmarks of broken queues. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { migrations } from '../migrations.ts';
import { type Broker, openBroker } from '../rabbitmq/connection.ts';
import { rabbitFeed } from '../rabbitmq/rabbit-feed.ts';
import { bindHandler } from '../rabbitmq/register.ts';
import { partQueueName } from '../rabbitmq/topology.ts';
import { followerRegistry, selectFollowers } from '../relay/followers.ts';
import { startRelay } from '../relay/relay.ts';
import { runSubscription, type SubscriptionOptions } from '../subscription/subscription.ts';
import type { EventHandler, Feed } from '../types.ts';
import { newEvent } from './doubles.ts';
import { testBroker } from './rabbit.ts';

export interface PacedOptions {
  /** The handlers' names. */
  names: string[];
  perSecond: number;
  /** As in production if absent. */
  reconciliation?: SubscriptionOptions['reconciliation'];
}

/** What has become of some of the events, at one handler. */
export interface Arrivals {
  /** Milliseconds from the call of append until the handler got the event, sorted. */
  lags: Float64Array;
  /** How often the events came from the broker. */
  deliveries: number;
  /** Events that have not come. */
  missing: number;
}

interface Measured {
  handler: EventHandler;
  /** By the number of the event. */
  arrivedAt: number[];
  deliveries: number[];
  arrived: number;
}

/** As independent clients would send them. */
const tickMs = 5;
const domain = 'orders';
const entity = 'orders.order';
const numberOf = ({ stream }: Pick<RecordedEvent, 'stream'>) => Number(stream.slice(entity.length + 1));

function measured(name: string): Measured {
  const arrivedAt: number[] = [];
  const deliveries: number[] = [];
  const of: Measured = {
    arrivedAt,
    deliveries,
    arrived: 0,
    handler: {
      name,
      entities: [entity],
      async handle(events) {
        const now = performance.now();
        for (const n of events.map(numberOf)) {
          if (arrivedAt[n] === undefined) of.arrived += 1;
          arrivedAt[n] ??= now;
        }
        return [];
      },
      seen: async (heads) => heads.map((head) => (arrivedAt[numberOf(head)] === undefined ? 0 : 1)),
    },
  };
  return of;
}

/** Counts what comes from the broker. */
function counted(feed: Feed, { deliveries }: Measured): Feed {
  return {
    run: (deliver, signal) =>
      feed.run((events) => {
        for (const n of events.map(numberOf)) deliveries[n] = (deliveries[n] ?? 0) + 1;
        return deliver(events);
      }, signal),
  };
}

/** A log of its own, its relay, and handlers that are bound and consume. Each event has a stream of its own. */
export async function openPacedHandlers({ names, perSecond, reconciliation }: PacedOptions) {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: domain, sets: [postgresMigrations, logMigrations, migrations] });
  const database = openDatabase({ url: fresh.url, schema: domain });
  const log = openEventLog({ database, domain });
  const rabbit = testBroker();
  const { broker, prefix } = rabbit;
  rabbit.owns([...names, 'caudal.witness'], [domain]);
  const registries = new Map([[domain, followerRegistry(database, domain)]]);
  const all = new Map(names.map((name) => [name, measured(name)]));
  const subscriptions: Running[] = [];
  const logs = new Map([[domain, log]]);
  const consume = (by: Broker) => {
    for (const of of all.values()) {
      const feed = counted(rabbitFeed({ broker: by, handler: of.handler, registries }), of);
      subscriptions.push(runSubscription({ handler: of.handler, feed, logs, database, reconciliation }));
    }
  };
  for (const { handler } of all.values()) await bindHandler({ broker, handler, registries });
  consume(broker);
  const joined: Broker[] = [];
  const relay = startRelay({ log, database, broker });

  const appendedAt: number[] = [];
  const appends = new Set<Promise<unknown>>();
  let loading: Promise<void> | undefined;
  let stopping = false;
  const append = () => {
    const n = appendedAt.push(performance.now()) - 1;
    const events = [newEvent(`${entity}.changed.v1`)];
    const appending = log.append({ stream: `${entity}/${n}`, expected: 'any', events });
    appends.add(appending);
    appending.then(
      () => appends.delete(appending),
      // It stays, and fails the end of the load.
      () => {},
    );
  };
  const load = async () => {
    const began = performance.now();
    const before = appendedAt.length;
    while (!stopping) {
      const due = before + Math.floor(((performance.now() - began) / 1_000) * perSecond);
      while (appendedAt.length < due) append();
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
  };
  const endLoad = async () => {
    stopping = true;
    await loading;
    await Promise.all(appends);
  };

  return {
    database,
    /** The full name of a handler's queue. */
    queueOf: (name: string) => partQueueName(name, 0, prefix),
    /** Begins to append events at the rate. */
    begin(): void {
      stopping = false;
      loading = load();
    },
    /**
     * Consumes the same queues a second time, as another process would. Returns how often a handler has begun to
     * consume there.
     */
    join(): (name: string) => number {
      const begun: string[] = [];
      const other = openBroker({ url: serverUrl('rabbitmq'), prefix, name: 'other' });
      joined.push(other);
      consume({
        ...other,
        consumeConnection(handler) {
          const connection = other.consumeConnection(handler);
          return {
            ...connection,
            channel(signal) {
              begun.push(handler);
              return connection.channel(signal);
            },
          };
        },
      });
      return (name) => begun.filter((one) => one === name).length;
    },
    /** Ends the load; all appends have succeeded. */
    end: endLoad,
    /** The number of events so far, which is also the number of the next. */
    count: () => appendedAt.length,
    /** Whether a handler has all of the first events. */
    has: (name: string, count = appendedAt.length) => {
      const { arrived, arrivedAt } = all.get(name)!;
      return arrived >= count && !appendedAt.slice(0, count).some((_, n) => arrivedAt[n] === undefined);
    },
    /** What has become of the events from one number to before another. */
    arrivals(name: string, from: number, to: number): Arrivals {
      const { arrivedAt, deliveries } = all.get(name)!;
      const numbers = Array.from({ length: to - from }, (_, index) => from + index);
      const come = numbers.filter((n) => arrivedAt[n] !== undefined);
      return {
        lags: Float64Array.from(come, (n) => arrivedAt[n]! - appendedAt[n]!).sort(),
        deliveries: numbers.reduce((sum, n) => sum + (deliveries[n] ?? 0), 0),
        missing: numbers.length - come.length,
      };
    },
    /** The handlers whose queues are set aside. */
    async aside(): Promise<string[]> {
      const followers = await selectFollowers(database);
      return followers
        .filter(({ missedAfter }) => missedAfter !== undefined)
        .map(({ queue }) => queue.slice(prefix.length).replace(/\.p\d+$/, ''));
    },
    async close(): Promise<void> {
      await endLoad().catch(() => {});
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await relay.stop();
      await Promise.all(joined.map((other) => other.close()));
      await rabbit.close();
      await log.stop();
      await database.close();
      await fresh.drop();
    },
  };
}

export type PacedHandlers = Awaited<ReturnType<typeof openPacedHandlers>>;
