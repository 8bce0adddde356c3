/** The time until a written event can be read in a view. */
import type { LogReader } from '@caudal/eventlog/types.ts';
import { openMembers } from '@caudal/messaging/members/members.ts';
import { migrations as messagingMigrations } from '@caudal/messaging/migrations.ts';
import { rabbitFeed } from '@caudal/messaging/rabbitmq/rabbit-feed.ts';
import { bindHandler } from '@caudal/messaging/rabbitmq/register.ts';
import { followerRegistry } from '@caudal/messaging/relay/followers.ts';
import { startRelay } from '@caudal/messaging/relay/relay.ts';
import { runSubscription } from '@caudal/messaging/subscription/subscription.ts';
import { testBroker } from '@caudal/messaging/testing/rabbit.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { collectionOf, createProjector } from '@caudal/projections/projector.ts';
import { testStores } from '@caudal/projections/testing/stores.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '../../e2e/wait.ts';
import { figureOf, percentile } from '../figures.ts';
import { migrateLog, openLog } from '../log.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure, Goal } from '../types.ts';

const perSecond = 1_000;
/**
 * Events per second for each store. The MongoDB-protocol server of the tests replaces only some 700 documents a second.
 */
const perSecondOf = { mongodb: 250, postgres: perSecond, elasticsearch: perSecond };
/** Enough streams for views to differ, few enough for consumers to meet at them. */
const streams = 500;
/** Appends are sent in ticks of this length, as independent clients would send them. */
const tickMs = 5;
const schema = 'inventory';

type StoreName = keyof typeof testStores;

export interface Outcome {
  /** For each event, milliseconds from the call of `append` until the view's write was confirmed, sorted. */
  lags: Float64Array;
  logReads: number;
}

function fail(error: unknown): never {
  throw error;
}

export interface LagRun {
  store: StoreName;
  /** Each with all that a process of its own has, in one process. */
  consumers: number;
  seconds: number;
  rate: number;
  streams: number;
  parts: number;
}

/** One run: a log, its relay, RabbitMQ, and several consumers of one projection. */
export async function measureLag({ store, consumers, seconds, rate, streams, parts }: LagRun): Promise<Outcome> {
  const fresh = await freshDatabase();
  const views = await testStores[store]();
  await migrateLog(fresh.url, schema, [postgresMigrations, messagingMigrations]);
  const { database, log, close } = openLog({ url: fresh.url, schema, poolSize: 16 });
  const rabbit = testBroker();
  const { broker } = rabbit;
  const appendedAt = new Map<string, number>();
  const lags: number[] = [];
  let logReads = 0;

  const projector = createProjector({ projection: stockDashboard, store: views.store, generation: 1 });
  await collectionOf({ projection: stockDashboard, store: views.store, generation: 1 }).create();
  const handler: EventHandler = {
    ...projector,
    parts,
    async handle(events) {
      const unfinished = await projector.handle(events);
      const now = performance.now();
      // If a stream has a gap, the events after it are delivered again.
      const seen = new Map(
        unfinished.map((each) => (each.kind === 'gap' ? [each.stream, each.seen] : fail(each.error))),
      );
      for (const { eventId, stream, version } of events) {
        const began = appendedAt.get(eventId);
        if (began === undefined || version > (seen.get(stream) ?? version)) continue;
        appendedAt.delete(eventId);
        lags.push(now - began);
      }
      return unfinished;
    },
  };
  const counted: LogReader = {
    ...log,
    readStreams(cursors, options) {
      logReads++;
      return log.readStreams(cursors, options);
    },
  };
  rabbit.owns([handler.name], [schema]);
  const registries = new Map([['inventory', followerRegistry(database, 'inventory')]]);
  await bindHandler({ broker, handler, registries });
  const relay = startRelay({ log, database, broker });
  const processes = Array.from({ length: consumers }, (_, n) => openMembers({ database, process: `consumer-${n}` }));
  const subscriptions = processes.map((members) =>
    runSubscription({
      handler,
      feed: rabbitFeed({ broker, handler, registries, members }),
      logs: new Map([[schema, counted]]),
      database,
      reconciliation: { everyMs: 30_000, minAgeMs: 10_000 },
    }),
  );

  const versions = new Array<number>(streams).fill(0);
  const appends: Promise<unknown>[] = [];
  const add = (n: number) => {
    const productId = `P-${n}`;
    const version = versions[n]!++;
    const event = version === 0 ? created(productId) : restocked(version);
    appendedAt.set(event.eventId, performance.now());
    appends.push(log.append({ stream: streamOf(productId), expected: version, events: [event] }));
  };
  const allSeen = (what: string) =>
    until(
      what,
      async () => appendedAt.size,
      (unseen) => unseen === 0,
      60_000,
    );
  try {
    // Before the measurement, consumers work, connections are open and code is compiled.
    for (let n = 0; n < streams; n++) add(n);
    await allSeen('the first events');
    const run = async (forSeconds: number) => {
      const began = performance.now();
      for (let sent = 0; sent < forSeconds * rate; ) {
        const due = Math.min(forSeconds * rate, Math.ceil(((performance.now() - began) / 1_000) * rate));
        for (; sent < due; sent++) add((sent * 7) % streams);
        await new Promise((resolve) => setTimeout(resolve, tickMs));
      }
      await Promise.all(appends.splice(0));
      await allSeen('all events');
    };
    await run(4);
    lags.length = 0;
    logReads = 0;
    await run(seconds);
  } finally {
    await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    await Promise.all(processes.map((members) => members.stop()));
    await relay.stop();
    await rabbit.close();
    await Promise.all([close(), views.remove()]);
    await fresh.drop();
  }
  return { lags: Float64Array.from(lags).sort(), logReads };
}

export const lag: Bench = {
  name: 'lag',
  title: 'Projection lag',
  compares: `${perSecond} events a second (MongoDB: ${perSecondOf.mongodb}, because the server that replaces it here can't do more), over ${streams} streams, through log, relay and RabbitMQ into views. Measured for each event: the time from the call of append until the store has confirmed the view. Elasticsearch shows a confirmed write to searches up to a second later, and to reads by id at once. Log reads: queries for events that the broker delivered out of order.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch'],

  async run({ quick, say }) {
    const figures: Figure[] = [];
    const rounds = quick ? 1 : 3;
    for (const store of ['mongodb', 'postgres', 'elasticsearch'] as const)
      for (const consumers of [1, 8]) {
        const outcomes: Outcome[] = [];
        for (let round = 1; round <= rounds; round++) {
          say(`${store}, ${consumers} consumers: round ${round} of ${rounds}`);
          const [seconds, rate] = [quick ? 4 : 10, perSecondOf[store]];
          outcomes.push(await measureLag({ store, consumers, seconds, rate, streams, parts: 8 }));
        }
        const add = (metric: string, unit: string, of: (outcome: Outcome) => number, goal?: Goal) =>
          figures.push(
            figureOf({ bench: 'lag', metric: `${store}.${consumers}.${metric}`, unit, goal }, outcomes.map(of)),
          );
        add('p50', 'ms', ({ lags }) => percentile(lags, 0.5));
        const goal: Goal | undefined = store === 'elasticsearch' ? undefined : { kind: 'atMost', value: 100 };
        add('p99', 'ms', ({ lags }) => percentile(lags, 0.99), goal);
        add('max', 'ms', ({ lags }) => percentile(lags, 1));
        add('log-reads', '/event', ({ lags, logReads }) => logReads / lags.length);
      }
    return figures;
  },
};
