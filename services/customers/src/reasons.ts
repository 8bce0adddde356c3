/** Reasons of the customers context, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  CUSTOMER_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such customer.' },
  CUSTOMER_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is a customer of this id already. Update it instead.' },
  CUSTOMER_ERASED: {
    code: 'FAILED_PRECONDITION',
    meaning: "The customer was erased. The id can't be used any more; mails that were queued are not sent.",
  },
  EMAIL_CHANGED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The customer has another address than the one that was verified. Read the customer again.',
  },
  NO_EMAIL: { code: 'FAILED_PRECONDITION', meaning: 'The customer has no address that could be verified.' },
  VERIFICATIONS_TOO_MANY: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The customer was sent three codes within an hour. Try again later.',
  },
  VERIFICATION_ENDED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The code has expired, was tried too often, or was never sent. Request another mail.',
  },
  VERIFICATION_CODE_WRONG: {
    code: 'INVALID_ARGUMENT',
    meaning: 'It is not the code of the last mail. After five wrong ones, request another mail.',
  },
  VERIFICATION_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: 'There is no such verification, or a later one has replaced it.',
  },
} satisfies Record<string, Reason>;
