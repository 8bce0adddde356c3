/** Recorded events as a projection sees them: decoded, with the functions that follow their entity. */
import { domainsOf, type Entity, type EventCase, entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import { occurredAt } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { type AnyProjection, isMultiStream } from './multi-stream/types.ts';
import type { Follow, ProjectedEvent, Projection } from './types.ts';

/** An event, the functions that follow it, and the id of its view (undefined: none). */
export interface Followed<V> {
  recorded: RecordedEvent;
  projected: ProjectedEvent;
  follow: Follow<V>;
  view: string | undefined;
}

/**
 * Decodes an event and finds its view; undefined if the projection does not follow the event's entity. Throws if the
 * event can't be decoded, or `view` throws.
 */
export function followEvent<V>(projection: Projection<V>, recorded: RecordedEvent): Followed<V> | undefined {
  const entity = entityOfStream(recorded.stream);
  const follow = projection.follows.find((candidate) => candidate.entity.name === entity);
  if (!follow) return undefined;
  const projected = projectedEvent(follow.entity, recorded);
  const view = follow.view(projected);
  // In a history the events of a stream share its cursor, whose id is the stream's name.
  const target = view !== undefined && projection.kind === 'one-per-event' ? recorded.stream : view;
  return { recorded, projected, follow, view: target };
}

/**
 * The view of all events of a stream, if the projection computes it from the stream's name alone, as most do: then no
 * event need be read. `view: undefined`: they have none. Undefined: only an event tells.
 */
export function viewOfStream<V>(projection: Projection<V>, stream: string): { view: string | undefined } | undefined {
  const entity = entityOfStream(stream);
  const follow = projection.follows.find((candidate) => candidate.entity.name === entity);
  if (!follow) return { view: undefined };
  try {
    const view = follow.view(new NameOnly(stream));
    return { view: view !== undefined && projection.kind === 'one-per-event' ? stream : view };
  } catch {
    return undefined;
  }
}

/** An event of which only the stream is known: reading anything else of it throws. */
class NameOnly implements ProjectedEvent {
  readonly stream: string;
  readonly id: string;
  constructor(stream: string) {
    this.stream = stream;
    this.id = idOfStream(stream);
  }
  get version(): never {
    throw unknown;
  }
  get eventId(): never {
    throw unknown;
  }
  get at(): never {
    throw unknown;
  }
  get event(): never {
    throw unknown;
  }
}

const unknown = new Error('only the name of the stream is known');

/** Personal texts stay sealed: a query that shows them opens them (QueryTools.openTexts). Throws if the event can't be decoded. */
export function projectedEvent<E extends EventCase>(entity: Entity<E>, recorded: RecordedEvent): ProjectedEvent<E> {
  const { stream, version, eventId } = recorded;
  const id = idOfStream(stream);
  return {
    stream,
    id,
    version,
    eventId,
    at: occurredAt(recorded),
    event: entity.decode(recorded, { keepSealed: true }),
  };
}

/** The entities that a projection follows. */
export function entitiesOf<V>(projection: AnyProjection<V>): string[] {
  const followed = isMultiStream(projection) ? projection.gathers : projection.follows;
  return followed.map(({ entity }) => entity.name);
}

/** The contexts whose logs a projection reads. */
export function followedDomains<V>(projection: AnyProjection<V>): Set<string> {
  return domainsOf(entitiesOf(projection));
}
