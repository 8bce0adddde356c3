/** Reasons of a failed notification, for the reference of errors. Clients never receive them. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  NOTIFICATION_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such notification.' },
  NO_ADDRESS: { code: 'FAILED_PRECONDITION', meaning: 'The customer has no e-mail address.' },
  EMAIL_NOT_VERIFIED: {
    code: 'UNAVAILABLE',
    meaning: "The customer's address was not verified yet. The mail waits for it, for 17 hours.",
  },
  MAILS_TOO_MANY: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The customer has got NOTIFICATIONS_MAILS_PER_HOUR mails within an hour. The mail waits, for a day at most.',
  },
  NOTHING_PAID_BACK: { code: 'FAILED_PRECONDITION', meaning: 'The refund is of no money.' },
  NUMBER_CORRECTED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The tracking number was corrected before the mail was sent: another mail has the new one.',
  },
  NOT_WANTED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The cart is empty by now, or the customer no longer wants to be reminded of it.',
  },
  TEMPLATE_UNKNOWN: { code: 'FAILED_PRECONDITION', meaning: 'There is no text for this kind of notification.' },
} satisfies Record<string, Reason>;
