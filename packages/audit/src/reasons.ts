/** The reasons that the audit log answers with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  AUDIT_BUSY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Too many acts wait to be recorded in the audit log, which comes before they are done. Nothing was done. Try again after the time given.',
  },
} satisfies Record<string, Reason>;
