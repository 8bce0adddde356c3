/** The reasons of registration with a log, and of queues of work, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  TOO_MANY_FOLLOWERS: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'More queues want to follow a log, or one with more keys, than its relay looks after.',
  },
  WORK_QUEUE_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'A queue of work has as many messages as it may: repeat it after the time that is given.',
  },
} satisfies Record<string, Reason>;
