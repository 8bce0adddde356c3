/** The reasons of the encoding of events, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  PERSONAL_DATA_SEALED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'This process lacks the key of a personal text, so it can neither read the text nor write it back. Give the process the key: CAUDAL_PERSONAL_DATA_KEYS.',
  },
} satisfies Record<string, Reason>;
