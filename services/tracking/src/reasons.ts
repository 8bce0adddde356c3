/** Reasons of tracking, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  PARCEL_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: 'Nothing is known of a parcel of this carrier and number: neither a trace nor a shipment.',
  },
  PARCEL_LINK_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: 'The public link shows no parcel: it is unknown, has ended, or was revoked. These are told apart nowhere.',
  },
  TRACE_QUEUE_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Too many traces wait to be written. Nothing of the call is recorded: repeat it after the time that is given.',
  },
  CARRIER_UNKNOWN: {
    code: 'NOT_FOUND',
    meaning: 'There is no carrier of the name in the path. Its name is in the settings of tracking.',
  },
  CARRIER_BODY_UNREADABLE: {
    code: 'INVALID_ARGUMENT',
    meaning: "The body of a carrier's webhook is not in the format of that carrier.",
  },
  HAPPEN_TIME_MISSING: {
    code: 'INVALID_ARGUMENT',
    meaning: 'One trace of a call does not say when it happened: its result says so, and the others count.',
  },
  HAPPENED_IN_FUTURE: {
    code: 'INVALID_ARGUMENT',
    meaning: 'One trace of a call happened more than a day ahead, so its time zone is wrong. The others count.',
  },
  HAPPENED_TOO_LONG_AGO: {
    code: 'INVALID_ARGUMENT',
    meaning: 'One trace of a call happened more than ten years ago. The others count.',
  },
} satisfies Record<string, Reason>;
