/** A trace: what a carrier says of a parcel. A fact from outside, in a form that all carriers share. */
import { hashOf } from '@caudal/kernel/ids.ts';

/** An unknown code of a carrier is a trace without status. */
export type Status =
  | 'PRE_TRANSIT'
  | 'IN_TRANSIT'
  | 'OUT_FOR_DELIVERY'
  | 'AVAILABLE_FOR_PICKUP'
  | 'FAILED_ATTEMPT'
  | 'EXCEPTION'
  | 'DELIVERED'
  | 'RETURNING'
  | 'RETURNED'
  | 'EXPIRED'
  | 'CANCELLED';

export interface Place {
  name?: string;
  country?: string;
  latitude?: number;
  longitude?: number;
}

export interface Trace {
  carrier: string;
  trackingNumber: string;
  /** The carrier's own id of the event. */
  eventId?: string;
  happenedAt: Date;
  /** How sure the time is: its offset, known or assumed. */
  zone?: string;
  status?: Status;
  subStatus?: string;
  detail?: string;
  place?: Place;
  eta?: Date;
  photoUrl?: string;
  signedBy?: string;
  receivedAt: Date;
}

/**
 * The identity of a trace, 16 bytes in hexadecimal: a hash of carrier, tracking number and the carrier's event id, or without one of what the trace
 * says and when it happened. When it was received does not count.
 */
export function traceId(trace: Trace): string {
  const { carrier, trackingNumber, eventId } = trace;
  const said = eventId ? ['id', eventId] : ['said', ...whatItSays(trace)];
  return hashOf([carrier, trackingNumber, ...said]);
}

function whatItSays({ happenedAt, status, subStatus, detail, place, eta, photoUrl, signedBy }: Trace): string[] {
  const { name, country, latitude, longitude } = place ?? {};
  const said = [happenedAt.getTime(), status, subStatus, detail, name, country, latitude, longitude];
  return [...said, eta?.getTime(), photoUrl, signedBy].map((part) => String(part ?? ''));
}
