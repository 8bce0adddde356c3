/** Why a mail was given up, for the catalogue of reasons: the `reason` of a failed notification. No client sees them. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  NOTIFICATION_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such notification.' },
  NO_ADDRESS: { code: 'FAILED_PRECONDITION', meaning: 'The customer has no e-mail address.' },
  TEMPLATE_UNKNOWN: { code: 'FAILED_PRECONDITION', meaning: 'There is no text for what is to be told.' },
} satisfies Record<string, Reason>;
