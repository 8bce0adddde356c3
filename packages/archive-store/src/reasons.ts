/** The reasons that the archive answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  ARCHIVE_UNAVAILABLE: {
    code: 'UNAVAILABLE',
    meaning:
      'Events of a month that has left the database are needed, and the archive that has them does not answer. Try again after the time given.',
  },
} satisfies Record<string, Reason>;
