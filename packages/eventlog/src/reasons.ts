/** The reasons that a log answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  LOG_OVERLOADED: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'Too many commands wait to be recorded. Try again after the time given.',
  },
  ID_FROM_FUTURE: {
    code: 'INVALID_ARGUMENT',
    meaning:
      'An id has a time in it (UUIDv7) that is more than a day ahead. Set the clock of the process that makes the ids.',
  },
  LOG_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'The process that was called does not serve the log of this domain.' },
} satisfies Record<string, Reason>;
