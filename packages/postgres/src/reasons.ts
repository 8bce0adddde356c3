/** The reasons that the pool answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  POOL_EXHAUSTED: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'Too many calls wait for a connection to the database. Try again after the time given.',
  },
} satisfies Record<string, Reason>;
