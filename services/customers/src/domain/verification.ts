/** Whether a customer's address is known to be the customer's: by a code that was mailed there, or by another authority. */
import type { customer, EventOf } from '@caudal/contract/entities.ts';

export interface Verification {
  verified: boolean;
  /** The last code that was mailed to the present address. */
  pending: { verificationId: string; email: string; code: string; expireTime: Date; failures: number } | undefined;
  /** When codes were asked for: the last few times. */
  requests: Date[];
}

/** As many requests as the limit of an hour needs. */
const remembered = 3;

type VerificationEvent = Extract<EventOf<typeof customer>, { $case: `emailVeri${string}` }>;

export function afterVerification(before: Verification, event: VerificationEvent, at: Date): Verification {
  const { pending, requests } = before;
  switch (event.$case) {
    case 'emailVerificationRequested': {
      const { verificationId, email, code, expireTime } = event.value;
      return {
        verified: false,
        pending: { verificationId, email, code, expireTime: expireTime ?? at, failures: 0 },
        requests: [...requests, at].slice(-remembered),
      };
    }
    case 'emailVerificationFailed':
      if (pending?.verificationId !== event.value.verificationId) return before;
      return { ...before, pending: { ...pending, failures: pending.failures + 1 } };
    case 'emailVerified':
      return { ...before, verified: true, pending: undefined };
  }
}
