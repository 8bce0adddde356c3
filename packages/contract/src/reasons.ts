/** What the encoding of events answers by itself, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  PERSONAL_DATA_SEALED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'A personal text could not be read for want of its key, so it is not written back either. The operator has to give the process the key it was sealed with.',
  },
} satisfies Record<string, Reason>;
