/**
 * What a context tells the runtime about itself: its commands, queries, projections and processes. Each is a function of
 * the tools that it needs, so that the same context runs as one process or as many, on one store or on all.
 */
import type { Aggregates, Decider } from '@caudal/aggregates/types.ts';
import type { Settings, Values } from '@caudal/config/config.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { AnyProjection } from '@caudal/projections/multi-stream/types.ts';
import type { Client, Service } from '@caudal/rpc/types.ts';
import type { TimedHandler } from '@caudal/sagas/saga-handler.ts';
import type { SearchReader, ViewReader } from './view-reader.ts';

/** The tools that commands, queries and processes share. */
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
  /** Fires when the process ends: what is under way is given up and comes again. */
  signal: AbortSignal;
  /** Nobody depends on it: PostgreSQL is embedded, so what stands for an outside system may do by itself. */
  development: boolean;
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
  /** What it can be told by environment variables, beside what the runtime itself knows. */
  settings: S;
  /** What its own services may ask of others: `inventory.stock.reserve:any`. */
  permissions: string[];
  /** The rules of every entity whose events its log holds, for tools that fold any stream. */
  // biome-ignore lint/suspicious/noExplicitAny: a list of deciders of different states has no common type
  deciders: Decider<any, any>[];
  commands(tools: Tools<S>): Service[];
  queries(tools: QueryTools<S>): Service[];
  projections: ContextProjection[];
  /** May open what they need; `signal` tells when to let go of it. */
  sagas(tools: SagaTools<S>): TimedHandler[] | Promise<TimedHandler[]>;
}

/** Checks a context's parts against each other; the types of its settings follow from what it declares. */
export function defineContext<S extends Settings>(context: Context<S>): Context<S> {
  return context;
}
