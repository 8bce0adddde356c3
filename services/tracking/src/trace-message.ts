/** Traces between the contract's messages and the domain. */
import {
  ParcelStatus,
  type Place,
  type Trace as TraceMessage,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { carrierKey, numberKey } from './domain/parcel-id.ts';
import type { Seen } from './domain/parcel-state.ts';
import { perDegree, pointAt } from './domain/places/point.ts';
import type { Status, Trace, Place as TracePlace } from './domain/trace.ts';

const numbers: Record<Status, ParcelStatus> = {
  PRE_TRANSIT: ParcelStatus.PARCEL_STATUS_PRE_TRANSIT,
  IN_TRANSIT: ParcelStatus.PARCEL_STATUS_IN_TRANSIT,
  OUT_FOR_DELIVERY: ParcelStatus.PARCEL_STATUS_OUT_FOR_DELIVERY,
  AVAILABLE_FOR_PICKUP: ParcelStatus.PARCEL_STATUS_AVAILABLE_FOR_PICKUP,
  FAILED_ATTEMPT: ParcelStatus.PARCEL_STATUS_FAILED_ATTEMPT,
  EXCEPTION: ParcelStatus.PARCEL_STATUS_EXCEPTION,
  DELIVERED: ParcelStatus.PARCEL_STATUS_DELIVERED,
  RETURNING: ParcelStatus.PARCEL_STATUS_RETURNING,
  RETURNED: ParcelStatus.PARCEL_STATUS_RETURNED,
  EXPIRED: ParcelStatus.PARCEL_STATUS_EXPIRED,
  CANCELLED: ParcelStatus.PARCEL_STATUS_CANCELLED,
};
const statuses = new Map(Object.entries(numbers).map(([status, number]) => [number, status as Status]));

/** The contract's number of a status. */
export function statusNumber(status: Status | undefined): ParcelStatus {
  return status ? numbers[status] : ParcelStatus.PARCEL_STATUS_UNSPECIFIED;
}

/** The trace that a message says, with carrier and number in their one spelling. An empty text is none. */
export function traceOf(message: TraceMessage): Trace {
  const { carrier, trackingNumber, eventId, zone, status, subStatus, detail, place, eta, photoUrl } = message;
  const position = place?.position;
  return {
    carrier: carrierKey(carrier),
    trackingNumber: numberKey(trackingNumber),
    eventId: eventId || undefined,
    happenedAt: message.happenTime ?? new Date(0),
    zone: zone || undefined,
    status: statuses.get(status),
    subStatus: subStatus || undefined,
    detail: detail || undefined,
    place: place && {
      name: place.name || undefined,
      country: place.country || undefined,
      latitude: position && position.latitudeE7 / perDegree,
      longitude: position && position.longitudeE7 / perDegree,
    },
    eta,
    photoUrl: photoUrl || undefined,
    receivedAt: message.receiveTime ?? new Date(0),
  };
}

/**
 * A trace that an adapter has read as a message. Who signed for the parcel is a person's name, and is not taken in. When it was received
 * is set where it is taken in.
 */
export function messageOf(trace: Trace): TraceMessage {
  const {
    carrier,
    trackingNumber,
    eventId = '',
    happenedAt,
    zone = '',
    subStatus = '',
    detail = '',
    photoUrl = '',
  } = trace;
  return {
    ...{ carrier, trackingNumber, eventId, zone, subStatus, detail, photoUrl, eta: trace.eta },
    happenTime: happenedAt,
    status: statusNumber(trace.status),
    place: placeMessage(trace.place),
    receiveTime: undefined,
  };
}

/** A trace of a parcel's page as a message. Its id at the carrier, and when it was received, are in the trace store. */
export function seenMessage(seen: Seen, of: { carrier: string; trackingNumber: string }): TraceMessage {
  const { zone = '', subStatus = '', detail = '', photoUrl = '' } = seen;
  return {
    ...of,
    ...{ eventId: '', zone, subStatus, detail, photoUrl, receiveTime: undefined },
    happenTime: new Date(seen.reportedAt ?? seen.at),
    status: statusNumber(seen.status),
    place: placeMessage(seen.place),
    eta: seen.eta === undefined ? undefined : new Date(seen.eta),
  };
}

/** A place as a message. */
export function placeMessage(place: TracePlace | undefined): Place | undefined {
  if (!place) return undefined;
  const { name = '', country = '', latitude, longitude } = place;
  const position = latitude === undefined || longitude === undefined ? undefined : pointAt(latitude, longitude);
  return { name, country, position };
}
