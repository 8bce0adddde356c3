/**
 * Statuses of DHL's Shipment Tracking API (Unified). `statusCode` is one of five; its divisions say more in their own words only, so
 * words narrow it down. Of the rows of a code the first that fits counts.
 */
import type { Status } from '../domain/trace.ts';

export interface DhlRow {
  code: string;
  /** Looked for in `status` and `description`, in English. */
  words?: RegExp;
  /** Absent: the code has no meaning. */
  status?: Status;
  subStatus?: string;
}

export const dhlRows: readonly DhlRow[] = [
  {
    code: 'pre-transit',
    words: /pick-?up .*(scheduled|arranged)/,
    status: 'PRE_TRANSIT',
    subStatus: 'PICKUP_SCHEDULED',
  },
  { code: 'pre-transit', status: 'PRE_TRANSIT', subStatus: 'LABEL_CREATED' },

  {
    code: 'transit',
    words: /loaded onto the delivery vehicle|out for delivery|out with courier|with delivery courier/,
    status: 'OUT_FOR_DELIVERY',
    subStatus: 'WITH_COURIER',
  },
  {
    code: 'transit',
    words: /(ready|available|awaiting|waiting) .*(collection|pick-?up|collected)/,
    status: 'AVAILABLE_FOR_PICKUP',
    subStatus: 'AT_PICKUP_POINT',
  },
  {
    code: 'transit',
    words: /return(ed|ing)? to (the )?(sender|shipper)/,
    status: 'RETURNING',
    subStatus: 'UNDELIVERABLE',
  },
  {
    code: 'transit',
    words: /clear(ed|ance) (complete|processing complete)|released by customs/,
    status: 'IN_TRANSIT',
    subStatus: 'CUSTOMS_CLEARED',
  },
  { code: 'transit', words: /customs|clearance/, status: 'IN_TRANSIT', subStatus: 'CUSTOMS_STARTED' },
  { code: 'transit', words: /picked up|posted|accepted/, status: 'IN_TRANSIT', subStatus: 'ACCEPTED' },
  { code: 'transit', words: /depart|has left/, status: 'IN_TRANSIT', subStatus: 'DEPARTED' },
  { code: 'transit', words: /arriv|processed/, status: 'IN_TRANSIT', subStatus: 'ARRIVED' },
  { code: 'transit', status: 'IN_TRANSIT' },

  { code: 'delivered', words: /neighbou?r/, status: 'DELIVERED', subStatus: 'TO_NEIGHBOUR' },
  { code: 'delivered', words: /safe place|drop-off|agreed location/, status: 'DELIVERED', subStatus: 'TO_SAFE_PLACE' },
  { code: 'delivered', words: /(collected|picked up) /, status: 'DELIVERED', subStatus: 'COLLECTED' },
  { code: 'delivered', status: 'DELIVERED' },

  {
    code: 'failure',
    words: /return(ed|ing)? to (the )?(sender|shipper)/,
    status: 'RETURNING',
    subStatus: 'UNDELIVERABLE',
  },
  { code: 'failure', words: /refus/, status: 'FAILED_ATTEMPT', subStatus: 'REFUSED' },
  {
    code: 'failure',
    words: /not (at )?home|nobody|not present|closed/,
    status: 'FAILED_ATTEMPT',
    subStatus: 'NOT_AT_HOME',
  },
  { code: 'failure', words: /delivery (was )?(attempt|not possible)|could not be delivered/, status: 'FAILED_ATTEMPT' },
  { code: 'failure', words: /address|doorbell|moved/, status: 'FAILED_ATTEMPT', subStatus: 'ADDRESS_PROBLEM' },
  { code: 'failure', words: /damage/, status: 'EXCEPTION', subStatus: 'DAMAGED' },
  { code: 'failure', words: /lost|missing/, status: 'EXCEPTION', subStatus: 'LOST' },
  { code: 'failure', words: /customs|clearance/, status: 'EXCEPTION', subStatus: 'CUSTOMS_HELD' },
  { code: 'failure', words: /expired|not collected|unclaimed/, status: 'EXCEPTION', subStatus: 'UNCLAIMED' },
  { code: 'failure', words: /delay/, status: 'EXCEPTION', subStatus: 'DELAYED' },
  { code: 'failure', status: 'EXCEPTION' },

  { code: 'unknown' },
];
