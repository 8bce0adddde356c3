/** Brings the code to the address that a customer wants to verify. */
import { customer, type EventOf } from '@caudal/contract/entities.ts';
import type { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { mailAddressProblem } from '@caudal/contract/mail-address.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { type CaseOf, observe } from '@caudal/sagas/observe.ts';
import type { Saga } from '@caudal/sagas/types.ts';
import {
  type NotificationEvent,
  type NotificationState,
  notificationDecider,
  notificationIdFor,
  request,
} from '../domain/notification.ts';
import { composeVerification } from '../templates.ts';
import { type Post, send } from './send.ts';

export interface VerificationMailsDependencies extends Post {
  customers: Client<CustomerQueryServiceService>;
}

const template = 'email_verification';

export function verificationMails({
  customers,
  ...post
}: VerificationMailsDependencies): Saga<NotificationState, NotificationEvent> {
  return {
    name: 'verification-mails',
    parts: 4,
    state: notificationDecider,
    observes: [
      observe(customer, {
        saga: ({ event }) => notificationIdFor(event.value.verificationId, template),
        reactions: { emailVerificationRequested: ask },
      }),
    ],
    next: ({ dueAt }) => dueAt && { name: 'send', dueAt },

    run: (_step, state, context) =>
      send(post, state, context, async () => {
        const { customerId, verificationId } = state.request;
        const { origin, signal, sagaId: notificationId, now } = context;
        const verification = await customers
          .getEmailVerification({ customerId, verificationId }, { origin, signal })
          .catch((error: unknown) => {
            if (isCode(error, 'NOT_FOUND')) return undefined;
            throw error;
          });
        // Verified, replaced by a later one, erased, or too old: nobody waits for this mail.
        if (!verification?.expireTime || verification.expireTime <= now) return 'VERIFICATION_ENDED';
        const { email: to, code } = verification;
        if (mailAddressProblem(to)) throw unavailable("the customer's address");
        return { customerId, mail: composeVerification({ notificationId, to, code }) };
      }),
  };
}

/** Requests the mail with the code, which the event does not show to this context. */
function ask(
  state: NotificationState,
  { value: { customerId, verificationId } }: CaseOf<EventOf<typeof customer>, 'emailVerificationRequested'>,
): NotificationEvent[] {
  return request(state, {
    ...notificationDecider.initial.request,
    notificationId: notificationIdFor(verificationId, template),
    customerId,
    template,
    verificationId,
  });
}
