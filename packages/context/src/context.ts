/**
 * What a context consists of: its commands, queries, projections and sagas. Each is a function of
 * the tools that it needs, so that the same context runs as one process or as many, on one store or on all.
 */
import type { Aggregates, Decider } from '@caudal/aggregates/types.ts';
import type { Settings, Values } from '@caudal/config/config.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { checkJobs } from '@caudal/jobs/check-jobs.ts';
import type { GuardedDatabase, Job } from '@caudal/jobs/types.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import type { AnyProjection } from '@caudal/projections/multi-stream/types.ts';
import type { Projection, Views } from '@caudal/projections/types.ts';
import type { Client, Service } from '@caudal/rpc/types.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import { checkGauge, type ObservedGauge, type Sample } from '@caudal/telemetry/observed-gauge.ts';
import type { SearchReader, ViewReader } from './view-reader.ts';

/** The tools that commands, queries and sagas share. */
export interface Tools<S extends Settings> {
  /** Over the context's own log. */
  aggregates: Aggregates;
  clock: Clock;
  ids: IdSource;
  settings: Values<S>;
  /** Another context's service: a call inside this process, or gRPC. */
  client<Definition extends object>(definition: Definition): Client<Definition>;
}

export interface QueryTools<S extends Settings> extends Tools<S> {
  /** The views of one of the context's projections. */
  views<V>(projection: AnyProjection<V>): ViewReader<V>;
  /** The same with search; for projections kept in the search store. */
  search<V>(projection: AnyProjection<V>): SearchReader<V>;
}

export interface SagaTools<S extends Settings> extends Tools<S> {
  /** The context's own, for cursors and timers. */
  database: Database;
  /** Fires when the process ends: what is in flight is given up and repeated later. */
  signal: AbortSignal;
  /** PostgreSQL is embedded, so a sandbox may take the place of an outside system without a setting. */
  development: boolean;
}

export interface JobTools<S extends Settings> extends Tools<S> {
  /** The context's own. What a run writes through `transaction` is written only while the run holds its lease. */
  database: GuardedDatabase;
  /** The context's own log, for reading. */
  log: LogReader;
  /** The views of one of the context's projections, as they are in the store. */
  views<V>(projection: Projection<V>): Views<V>;
}

/** A job of a context. Without settings of its own it is `ContextJob`. */
export type ContextJob<S extends Settings = Settings> = Job<JobTools<S>>;

export interface GaugeTools<S extends Settings> extends Pick<Tools<S>, 'aggregates' | 'clock' | 'settings'> {
  /** The context's own, for reading. */
  database: Transaction;
  /** The views of one of the context's projections, as they are in the store. */
  views<V>(projection: Projection<V>): Views<V>;
}

/** A figure of the context that is read when Prometheus asks; its cost is bounded by `observeGauge`. */
export interface ContextGauge<S extends Settings = Settings> extends ObservedGauge {
  /** The value, or one for each value of its labels. Ends soon after the signal has fired. */
  read(tools: GaugeTools<S>, run: { signal: AbortSignal }): Promise<number | Sample[]>;
}

/** Which store keeps a projection's views: documents by id and key, or full-text search. */
export type StoreKind = 'documents' | 'search';

export interface ContextProjection {
  // biome-ignore lint/suspicious/noExplicitAny: a list of projections of different views has no common type
  projection: AnyProjection<any>;
  store: StoreKind;
  /** How long a view may be served from a cache that nothing has invalidated, in milliseconds; 60,000 if absent. */
  cacheMs?: number;
}

export interface Context<S extends Settings = Settings> {
  /** Its name: the domain of its events, the schema of its log. */
  name: string;
  /** Its own environment variables, beside those of every process. */
  settings: S;
  /** What its own services may ask of others: `inventory.stock.reserve:any`. */
  permissions: string[];
  /** The rules of every entity whose events its log holds, for tools that fold any stream. */
  // biome-ignore lint/suspicious/noExplicitAny: a list of deciders of different states has no common type
  deciders: Decider<any, any>[];
  commands(tools: Tools<S>): Service[];
  queries(tools: QueryTools<S>): Service[];
  projections: ContextProjection[];
  /** May open what they need, and close it when `signal` fires. */
  sagas(tools: SagaTools<S>): TimedHandler[] | Promise<TimedHandler[]>;
  /** Work by the clock, one process at a time. */
  jobs?: ContextJob<NoInfer<S>>[];
  /** Figures for Prometheus that must be looked for. */
  gauges?: ContextGauge<NoInfer<S>>[];
}

/**
 * Checks a context's parts; the types of its settings follow from what it declares. Throws an Error that names the part
 * and the fix if a job or a gauge can't be as it is declared.
 */
export function defineContext<S extends Settings>(context: Context<S>): Context<S> {
  const { name, jobs = [], gauges = [] } = context;
  checkJobs(name, jobs);
  for (const gauge of gauges) checkGauge(name, gauge);
  if (new Set(gauges.map((gauge) => gauge.name)).size < gauges.length)
    throw new Error(`Two gauges of ${name} have one name: give each its own.`);
  return context;
}
