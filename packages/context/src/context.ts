/**
 * The parts of a context: its commands, queries, projections, sagas, jobs and gauges. They are functions of the tools
 * that they need, so that the same context runs as one process or as many, on one store or on all.
 */
import type { Aggregates, Decider } from '@caudal/aggregates/types.ts';
import type { Settings, Values } from '@caudal/config/config.ts';
import type { PersonalText } from '@caudal/contract/personal.ts';
import type { Archive } from '@caudal/eventlog/archive/archive.ts';
import type { RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { checkJobs } from '@caudal/jobs/check-jobs.ts';
import type { GuardedDatabase, Job, JobRun } from '@caudal/jobs/types.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import type { MigrationSet } from '@caudal/postgres/migrate.ts';
import type { AnyProjection } from '@caudal/projections/multi-stream/types.ts';
import type { Projection, Views } from '@caudal/projections/types.ts';
import type { Client, Service } from '@caudal/rpc/types.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import { checkGauge, type ObservedGauge, type Sample } from '@caudal/telemetry/observed-gauge.ts';
import type { Interest } from './interest.ts';
import type { SearchReader, ViewReader } from './view-reader.ts';

/** The tools that commands, queries and sagas share. */
export interface Tools<S extends Settings> {
  /** The aggregates of the context's own log. */
  aggregates: Aggregates;
  clock: Clock;
  ids: IdSource;
  settings: Values<S>;
  /**
   * Opens personal texts of views, and of states that keep them sealed, for answers. In their order; `[erased]` or `[sealed]` if there
   * is no key.
   */
  openTexts(texts: PersonalText[]): Promise<string[]>;
  /**
   * The aggregates, with `[sealed]` in place of personal texts: for reads that show none. They need no keys, and keep idle states.
   */
  sealed: Pick<Aggregates, 'load'>;
  /** Another context's service: a call inside this process, or gRPC. */
  client<Definition extends object>(definition: Definition): Client<Definition>;
  /** For tables of the context's own. */
  tables: TableTools;
}

export interface TableTools {
  /** A commit there need not be on disk, unless the transaction asks for it (`synchronous_commit`). */
  database: Database;
  /** Seals rows with the key of their person. */
  seals: RowSeals;
}

/** Tables of a context beside its log: for what changes too often to be events, and for what can't be built anew. */
export interface ContextTables {
  migrations: MigrationSet;
  /** Whether rows are sealed with keys of persons: processes then need these keys. */
  personal: boolean;
}

/** What a context with stores of its own works on, beside its log. */
interface OwnStores {
  /** The context's own. */
  database: Database;
  /** Undefined: there is no RabbitMQ. */
  broker: Broker | undefined;
}

export interface CommandTools<S extends Settings> extends Tools<S>, OwnStores {}

export interface WorkerTools<S extends Settings> extends Tools<S>, OwnStores {
  /** Fires when the process ends. */
  signal: AbortSignal;
  /** Whether PostgreSQL is embedded: no other process shares the work, and an idle one shall take next to no processor time. */
  embedded: boolean;
}

export interface QueryTools<S extends Settings> extends Tools<S> {
  /** The context's own, for reading tables of its own. */
  database: Pick<Database, 'query' | 'transaction'>;
  /** Where old months are; undefined if there is no archive. */
  archive: Archive | undefined;
  /** The views of one of the context's projections. */
  views<V>(projection: AnyProjection<V>): ViewReader<V>;
  /** The same with search, for projections in the search store. */
  search<V>(projection: AnyProjection<V>): SearchReader<V>;
  /** Counts looks at things of a kind: 'products'. */
  interest(kind: string): Interest;
}

export interface SagaTools<S extends Settings> extends Tools<S> {
  /** The context's own, for cursors and timers. */
  database: Database;
  /** Fires when the process ends: steps in flight are given up and repeated later. */
  signal: AbortSignal;
  /** Whether PostgreSQL is embedded. Then a sandbox may replace an external system without a setting. */
  development: boolean;
  /** How long a user's token may live, in milliseconds. */
  tokenLifetimeMs: number;
}

/** For jobs that move rows of the context's own tables to the archive. */
export interface Archiving {
  archive: Archive;
  /**
   * Does the work as the owner of the tables, once what others move in this process is done. Its transactions commit only while the run holds
   * its lease. Throws the reason of the run's signal if that fires first.
   */
  asOwner(
    run: { name: string } & Pick<JobRun, 'token' | 'signal'>,
    work: (database: GuardedDatabase) => Promise<unknown>,
  ): Promise<void>;
}

/** Months of a context's own tables that a job of it moves to the archive. */
export interface ArchivedMonths {
  /** The name of that job, under whose lease a month is put back. */
  job: string;
  /** Puts a month back, as the owner of the tables. Returns how many rows were there; undefined if it is not in the archive. */
  restoreMonth(options: {
    database: GuardedDatabase;
    archive: Archive;
    month: string;
    days: number;
    signal: AbortSignal;
    onProgress?(progress: { done: number; total: number }): void;
  }): Promise<number | undefined>;
}

export interface JobTools<S extends Settings> extends Tools<S> {
  /** The context's own. Its `transaction` commits only while the run holds its lease. */
  database: GuardedDatabase;
  /** The context's own log, for reading. */
  log: LogReader;
  /** Undefined if there is no archive. */
  archiving: Archiving | undefined;
  /** The views of one of the context's projections, read from the store without a cache. */
  views<V>(projection: Projection<V>): Views<V>;
}

/** A job of a context. A job that reads no settings of its context is a `ContextJob`. */
export type ContextJob<S extends Settings = Settings> = Job<JobTools<S>>;

export interface GaugeTools<S extends Settings> extends Pick<Tools<S>, 'aggregates' | 'clock' | 'settings'> {
  /** The context's own, for reading. */
  database: Transaction;
  /** The views of one of the context's projections, read from the store without a cache. */
  views<V>(projection: Projection<V>): Views<V>;
}

/** A gauge of the context that is read at a scrape of Prometheus. `observeGauge` bounds its cost. */
export interface ContextGauge<S extends Settings = Settings> extends ObservedGauge {
  /** Reads the value, or one for each value of its labels. Must end soon after the signal has fired. */
  read(tools: GaugeTools<S>, run: { signal: AbortSignal }): Promise<number | Sample[]>;
}

/**
 * How views are cached. All are dropped when they change. 'cache-aside': the next read loads them; 'write-through': the projector puts
 * the new one in their place; 'refresh-ahead': those that are read often are loaded again before their time ends. See docs/caching.md.
 */
export const cacheStrategies = ['cache-aside', 'write-through', 'refresh-ahead'] as const;
export type CacheStrategy = (typeof cacheStrategies)[number];

export interface ViewCaching {
  strategy: CacheStrategy;
  /** How long a view may be served from the cache unless it is invalidated, in milliseconds. */
  ms: number;
}

/** The store of a projection's views: documents by id and key, or full-text search. */
export type StoreKind = 'documents' | 'search';

export interface ContextProjection {
  // biome-ignore lint/suspicious/noExplicitAny: a list of projections of different views has no common type
  projection: AnyProjection<any>;
  store: StoreKind;
  /** How its views are cached, unless CAUDAL_CACHES says otherwise; a minute of cache-aside if absent. */
  cache?: ViewCaching;
  /** How pages of searches are cached. A change of a view drops the pages that show it. Not at all if absent. */
  pages?: ViewCaching;
}

export interface Context<S extends Settings = Settings> {
  /** Its name, which is also the domain of its events and the schema of its log. */
  name: string;
  /** Its own environment variables, in addition to those of every process. */
  settings: S;
  /** The permissions that its services have in other contexts: `inventory.stock.reserve:any`. */
  permissions: string[];
  /** The deciders of all entities in its log, for tools that fold any stream. */
  // biome-ignore lint/suspicious/noExplicitAny: a list of deciders of different states has no common type
  deciders: Decider<any, any>[];
  /** Absent: it has none. */
  tables?: ContextTables;
  commands(tools: CommandTools<S>): Service[];
  queries(tools: QueryTools<S>): Service[];
  projections: ContextProjection[];
  /** They may open resources, and close them when `signal` fires. */
  sagas(tools: SagaTools<S>): TimedHandler[] | Promise<TimedHandler[]>;
  /** Continuous work on stores of its own, by the role worker. Each process with the role does it. */
  workers?(tools: WorkerTools<NoInfer<S>>): Running[];
  /** The queues of work that they read if there is a broker, without prefix: an autoscaler goes by their depth. */
  workQueues?: string[];
  /** Scheduled work, done by one process at a time. */
  jobs?: ContextJob<NoInfer<S>>[];
  /** Absent: no months of its own tables leave. */
  archived?: ArchivedMonths;
  /** Gauges for Prometheus whose values must be read, for example by a query. */
  gauges?: ContextGauge<NoInfer<S>>[];
}

/**
 * Checks a context's parts. The types of its settings follow from their declaration. If a job or a gauge is declared
 * wrongly, throws an Error that names it, the field and the fix.
 */
export function defineContext<S extends Settings>(context: Context<S>): Context<S> {
  const { name, jobs = [], gauges = [] } = context;
  checkJobs(name, jobs);
  for (const gauge of gauges) checkGauge(name, gauge);
  if (new Set(gauges.map((gauge) => gauge.name)).size < gauges.length)
    throw new Error(`Two gauges of ${name} have one name: give each a name of its own.`);
  return context;
}
