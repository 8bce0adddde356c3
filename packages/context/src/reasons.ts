/** The reasons that queries of any context answer with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  SUM_TOO_LARGE: {
    code: 'OUT_OF_RANGE',
    meaning: 'A sum does not fit into an int64; `metadata.sum` is the sum. Request a smaller range.',
  },
} satisfies Record<string, Reason>;
