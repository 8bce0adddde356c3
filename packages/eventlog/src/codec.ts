/** From a context's events to the log's, and back: what a command knows of itself travels in the metadata. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import { EventMetadata } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { type IdSource, newId } from '@caudal/kernel/ids.ts';
import type { NewEvent } from './types.ts';

export interface NewEventOptions<E extends EventCase> {
  entity: Entity<E>;
  event: E;
  origin: Origin;
  /** When it happens, by the clock of the command that decides it. */
  now: Date;
  ids?: IdSource;
}

/** An event ready to be appended. */
export function newEvent<E extends EventCase>({
  entity,
  event,
  origin,
  now,
  ids = newId,
}: NewEventOptions<E>): NewEvent {
  return { eventId: ids(), ...entity.encode(event), metadata: encodeMetadata(origin, now) };
}

/** What the log keeps of where an event comes from, and when it happens. */
export function encodeMetadata({ actor, causationId, correlationId, traceparent }: Origin, now: Date): Uint8Array {
  const occurredMillis = BigInt(now.getTime());
  return EventMetadata.encode({ actor, causationId, correlationId, traceparent, occurredMillis }).finish();
}

/** What led to the event. Decoded at each call: most readers never ask. */
export function metadataOf(event: Pick<NewEvent, 'metadata'>): EventMetadata {
  return EventMetadata.decode(event.metadata);
}

/** When the event happened, by the clock of the command that decided it (`recordedAt` is the database's). */
export function occurredAt(event: Pick<NewEvent, 'metadata'>): Date {
  return new Date(Number(metadataOf(event).occurredMillis));
}

/** The origin of what an event causes: the same request led to it, and the event is why. */
export function originOf(event: Pick<NewEvent, 'metadata' | 'eventId'>, actor: string): Origin {
  const { correlationId, traceparent } = metadataOf(event);
  return { actor, causationId: event.eventId, correlationId, traceparent };
}
