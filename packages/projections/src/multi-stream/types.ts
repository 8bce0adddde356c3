/**
 * Multi-stream projections: views that gather from any number of streams, such as the sales of a country and a day. A
 * view keeps a position for each log instead of a version for each stream. See docs/multi-stream-projections.md.
 */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import type { Evolved, ProjectedEvent, Projection, ViewCodec, ViewDeclaration } from '../types.ts';

/** An event as a multi-stream projection sees it. */
export interface GatheredEvent<E extends EventCase = EventCase, F = unknown> extends ProjectedEvent<E> {
  /** What is remembered of the event's stream from the events before this one; undefined if nothing is. */
  facts: F | undefined;
}

/** What is remembered of each stream because later events do not repeat it: an order's country and total. */
export interface Facts<E extends EventCase = EventCase, F = unknown> {
  codec: ViewCodec<F>;
  /**
   * What to remember from this event on. Return `event.facts` itself if nothing changes: then nothing is written.
   * Return undefined when no later event needs the facts.
   */
  remember(event: GatheredEvent<E, F>): F | undefined;
}

/**
 * One entity that views gather from: `gather(order, { facts: ..., views: ..., evolve: ... })` keeps the types together.
 */
export interface Gather<V, E extends EventCase = EventCase, F = unknown> {
  entity: Entity<E>;
  facts?: Facts<E, F>;
  /** The ids of the views that the event changes: none, one, or several (an order that moves from one to another). */
  views(event: GatheredEvent<E, F>): string[];
  /**
   * The view `id` after the event. It gets the events of a log in the log's order, and events of different logs in any
   * order: every such order must give the same view. It must not change `view` in place.
   */
  evolve(view: V | undefined, event: GatheredEvent<E, F>, id: string): Evolved<V>;
}

export interface MultiStreamProjection<V> extends ViewDeclaration<V> {
  gathers: Gather<V>[];
}

export type AnyProjection<V> = Projection<V> | MultiStreamProjection<V>;

/** Joins an entity's type to its functions. */
export function gather<V, E extends EventCase, F = never>(
  entity: Entity<E>,
  functions: Omit<Gather<V, E, F>, 'entity'>,
): Gather<V> {
  return { entity, ...functions } as unknown as Gather<V>;
}

export function isMultiStream<V>(projection: AnyProjection<V>): projection is MultiStreamProjection<V> {
  return 'gathers' in projection;
}
