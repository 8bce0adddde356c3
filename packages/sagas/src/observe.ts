/**
 * How a saga reacts to events of other streams: a reaction for each case of event that concerns it. An event without a
 * reaction counts as seen, and no state is loaded.
 */
import { type Entity, type EventCase, idOfStream } from '@caudal/contract/entity.ts';
import { occurredAt } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';

/** An event of another stream, as a saga sees it. */
export interface ObservedEvent<E extends EventCase = EventCase> {
  stream: string;
  /** The id within the entity. */
  id: string;
  version: number;
  /** When it happened. */
  at: Date;
  event: E;
}

/** One case of an entity's events. */
export type CaseOf<E extends EventCase, C extends E['$case']> = Extract<E, { $case: C }>;

/**
 * By case of event: the facts to append in a state. None if the state shows them already, since events are repeated.
 */
export type Reactions<S, F extends EventCase, E extends EventCase, C extends E['$case'] = E['$case']> = {
  [K in C]: (state: S, event: CaseOf<E, K>, observed: ObservedEvent<CaseOf<E, K>>) => F[];
};

/** A saga's reactions to the events of one entity. */
export interface Observation<S, F extends EventCase, E extends EventCase = EventCase> {
  entity: Entity<E>;
  /** The saga that an event with a reaction belongs to; undefined: none. */
  saga(event: ObservedEvent<E>): string | undefined;
  reactions: Readonly<Record<string, (state: S, event: E, observed: ObservedEvent<E>) => F[]>>;
}

/** Joins an entity's type to its functions: `observe(order, { saga: ({ id }) => id, reactions: { created: ... } })`. */
export function observe<S, F extends EventCase, E extends EventCase, C extends E['$case']>(
  entity: Entity<E>,
  functions: {
    saga(event: ObservedEvent<CaseOf<E, C>>): string | undefined;
    reactions: Reactions<NoInfer<S>, NoInfer<F>, E, C>;
  },
): Observation<S, F> {
  return { entity, ...functions } as unknown as Observation<S, F>;
}

/** The function for an event's case; undefined if the table has none. Inherited names (`constructor`) don't count. */
export function forCase<T>(table: Readonly<Record<string, T>>, { $case }: EventCase): T | undefined {
  return Object.hasOwn(table, $case) ? table[$case] : undefined;
}

/** The saga that an event concerns, and how it reacts. */
export interface Concern<S, F extends EventCase> {
  sagaId: string;
  react(state: S): F[];
}

/** Which saga the event concerns; undefined: none. */
export function concernOf<S, F extends EventCase>(
  { observes }: { observes: Observation<S, F>[] },
  entityName: string,
  observed: ObservedEvent,
): Concern<S, F> | undefined {
  const observation = observes.find(({ entity }) => entity.name === entityName);
  const reaction = observation && forCase(observation.reactions, observed.event);
  const sagaId = reaction && observation.saga(observed);
  return sagaId === undefined ? undefined : { sagaId, react: (state) => reaction!(state, observed.event, observed) };
}

/** A recorded event as a saga sees it. Throws if it can't be decoded: NewerEvent if only a newer version knows it. */
export function observedOf<E extends EventCase>(entity: Entity<E>, recorded: RecordedEvent): ObservedEvent<E> {
  const { stream, version } = recorded;
  return { stream, id: idOfStream(stream), version, at: occurredAt(recorded), event: entity.decode(recorded) };
}
