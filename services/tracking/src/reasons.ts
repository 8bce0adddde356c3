/** Reasons of tracking, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  PARCEL_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: 'Nothing is known of a parcel of this carrier and number: neither a trace nor a shipment.',
  },
  TRACE_QUEUE_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Too many traces wait to be written. Nothing of the call is recorded: repeat it after the time that is given.',
  },
} satisfies Record<string, Reason>;
