/** Encodes a context's events for the log. The metadata has the origin of the command and the time of the event. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import { EventMetadata } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { type IdSource, newId } from '@caudal/kernel/ids.ts';
import type { NewEvent } from './types.ts';

export interface NewEventOptions<E extends EventCase> {
  entity: Entity<E>;
  event: E;
  origin: Origin;
  /** When it happens, by the clock of the process that decides the command. */
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

/** The encoded metadata: the origin of the event, when it happens, and whether its claims are recorded with it. */
export function encodeMetadata(
  { actor, causationId, correlationId, traceparent }: Origin,
  now: Date,
  claimed = false,
): Uint8Array {
  const occurredMillis = BigInt(now.getTime());
  return EventMetadata.encode({ actor, causationId, correlationId, traceparent, occurredMillis, claimed }).finish();
}

/** The event's metadata. Decoded at each call, since most readers never need it. */
export function metadataOf(event: Pick<NewEvent, 'metadata'>): EventMetadata {
  return EventMetadata.decode(event.metadata);
}

/** When the event happened, by the clock of the process that decided it (`recordedAt` is the database's). */
export function occurredAt(event: Pick<NewEvent, 'metadata'>): Date {
  return new Date(Number(metadataOf(event).occurredMillis));
}

/** The origin of a command that the event causes: the correlation stays, and the event is its cause. */
export function originOf(event: Pick<NewEvent, 'metadata' | 'eventId'>, actor: string): Origin {
  const { correlationId, traceparent } = metadataOf(event);
  return { actor, causationId: event.eventId, correlationId, traceparent };
}
