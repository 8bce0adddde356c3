/** Reasons of tracking, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  CARRIER_UNKNOWN: {
    code: 'NOT_FOUND',
    meaning: 'There is no carrier of the name in the path. Its name is in the settings of tracking.',
  },
  CARRIER_BODY_UNREADABLE: {
    code: 'INVALID_ARGUMENT',
    meaning: "The body of a carrier's webhook is not in the format of that carrier.",
  },
} satisfies Record<string, Reason>;
