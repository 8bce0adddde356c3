/** What queries of any context answer, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  SUM_TOO_LARGE: {
    code: 'OUT_OF_RANGE',
    meaning: 'A sum is more than an int64 holds; `metadata.sum` is the sum. Ask for less at once.',
  },
} satisfies Record<string, Reason>;
