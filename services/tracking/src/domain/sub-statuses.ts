/** Sub-statuses: why a parcel is in its status, in words that all carriers share. The carriers' codes are mapped to them. */
import type { Status } from './trace.ts';

/** By status; a trace may have none. */
export const subStatuses = {
  PRE_TRANSIT: ['LABEL_CREATED', 'PICKUP_SCHEDULED', 'PICKUP_FAILED'],
  IN_TRANSIT: [
    'ACCEPTED',
    'DEPARTED',
    'ARRIVED',
    'CUSTOMS_STARTED',
    'CUSTOMS_CLEARED',
    'HANDED_OVER',
    'RESCHEDULED',
    'REROUTED',
    // The return that was reported before does not happen: the parcel goes to the recipient again.
    'RETURN_CANCELLED',
  ],
  OUT_FOR_DELIVERY: ['WITH_COURIER'],
  AVAILABLE_FOR_PICKUP: ['AT_PICKUP_POINT', 'AT_LOCKER', 'AT_DEPOT'],
  FAILED_ATTEMPT: ['NOT_AT_HOME', 'REFUSED', 'ADDRESS_PROBLEM', 'NO_ACCESS', 'PAYMENT_DUE', 'PROOF_OF_AGE_MISSING'],
  EXCEPTION: [
    'DELAYED',
    'WEATHER',
    'DAMAGED',
    'LOST',
    'CUSTOMS_HELD',
    'ADDRESS_PROBLEM',
    'REFUSED',
    'UNCLAIMED',
    'HELD',
    'ACTION_REQUIRED',
    // The delivery or return that was reported before was a mistake of the carrier.
    'END_VOIDED',
  ],
  DELIVERED: ['TO_RECIPIENT', 'TO_NEIGHBOUR', 'TO_SAFE_PLACE', 'COLLECTED'],
  RETURNING: ['REFUSED', 'UNCLAIMED', 'UNDELIVERABLE', 'REQUESTED'],
  RETURNED: ['TO_SENDER'],
  EXPIRED: ['NO_INFORMATION'],
  CANCELLED: ['LABEL_VOIDED'],
} as const satisfies Record<Status, readonly string[]>;

export const isStatus = (text: string): text is Status => Object.hasOwn(subStatuses, text);

/** Whether a trace of this status may have this sub-status. */
export function isSubStatus(status: Status, subStatus: string): boolean {
  return (subStatuses[status] as readonly string[]).includes(subStatus);
}
