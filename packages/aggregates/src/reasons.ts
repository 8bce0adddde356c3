/** The reasons that the queue of a stream answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  STREAM_CONTENDED: {
    code: 'ABORTED',
    meaning: 'Other processes kept changing the same resource. Nothing was done: try again.',
  },
  STREAM_QUEUE_FULL: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'Too many commands wait for the same resource. Nothing was done: try again after the time given.',
  },
  NEWER_VERSION_NEEDED: {
    code: 'UNAVAILABLE',
    meaning:
      'The resource has an event of a newer version of Caudal than the called process. Nothing was done: try again.',
  },
} satisfies Record<string, Reason>;
