/**
 * Slots and parts: all events of a stream go to one part of a handler's queue. See docs/parts.md. Slots are in the
 * bindings of running systems, so neither their number nor the hash may change.
 */
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { fnv1a } from '@caudal/kernel/fnv1a.ts';

/** How many slots there are. */
export const slotCount = 16;

/** The slot of a stream: 0 to 15. */
export function slotOf(stream: string): number {
  return fnv1a(stream) % slotCount;
}

/** The routing key of an entity's events in a slot: `orders.order.s3`. */
export function slotKey(entity: string, slot: number): string {
  return `${entity}.s${slot}`;
}

/** The slot's key of an event, beside its type. */
export function slotKeyOf({ stream }: Pick<RecordedEvent, 'stream'>): string {
  return slotKey(entityOfStream(stream), slotOf(stream));
}

/** The slots of a part, of a handler with so many parts. */
export function slotsOf(part: number, parts: number): number[] {
  return Array.from({ length: slotCount }, (_, slot) => slot).filter((slot) => slot % parts === part);
}

/** The number of parts of a handler. Throws if its definition has a number that can't be. */
export function partsOf({ name, parts = 1 }: { name: string; parts?: number }): number {
  // Any other number would give some parts more slots than others.
  if (![1, 2, 4, 8, 16].includes(parts)) throw new Error(`${name}: parts is ${parts}: give 1, 2, 4, 8 or 16.`);
  return parts;
}
