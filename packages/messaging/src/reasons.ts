/** The reasons that registration with a log answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  TOO_MANY_FOLLOWERS: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'More queues want to follow a log, or one with more keys, than its relay looks after.',
  },
} satisfies Record<string, Reason>;
