/** What a carrier expects, beside what has happened. */
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Trace } from '../domain/trace.ts';

/** What an event of a carrier says; the rest is known of the parcel. */
export type Event = Omit<Trace, 'carrier' | 'trackingNumber' | 'receivedAt'>;

/** A new time of delivery, as a trace of its own: it changes without an event. */
export const expectation = (eta: Date, last: Trace, now: Date): Event => ({
  eventId: derivedId('eta', eta.getTime(), last.happenedAt.getTime()),
  happenedAt: now,
  eta,
});
