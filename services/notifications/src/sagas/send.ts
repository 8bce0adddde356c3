/** The step of a notification: writes the mail and sends it, if the customer may get it. */

import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { mailAddressProblem } from '@caudal/contract/mail-address.ts';
import { CaudalError, isCode, isTransient, unavailable } from '@caudal/kernel/errors.ts';
import type { StepContext } from '@caudal/sagas/types.ts';
import {
  delay,
  markFailed,
  markSent,
  type NotificationEvent,
  type NotificationState,
  postpone,
} from '../domain/notification.ts';
import { countMail, recipientDecider } from '../domain/recipient.ts';
import type { Mail, Mailer } from '../mailer.ts';

/** How mails are sent. */
export interface Post {
  mailer: Mailer;
  /** Of the notifications context: it counts the mails of customers. */
  aggregates: Aggregates;
  /** The most mails that a customer gets within an hour. */
  mailsPerHour: number;
  /** Whether mails also go to addresses that nobody has verified, except about orders of nothing. */
  unverifiedAddresses: boolean;
}

/** A mail, and the customer that gets it. */
export interface Letter {
  customerId: string;
  mail: Mail;
}

/**
 * Sends the mail that `write` gives, and returns the facts of its outcome. `write` may give a reason instead, for which
 * there is no mail.
 */
export async function send(
  post: Post,
  state: NotificationState,
  context: StepContext,
  write: () => Promise<Letter | string>,
): Promise<NotificationEvent[]> {
  const { sagaId, now } = context;
  try {
    const letter = await write();
    if (typeof letter === 'string') return markFailed(state, sagaId, letter);
    if (!(await isCounted(post, letter.customerId, context)))
      return postpone(state, { now, version: 0 }, sagaId, 'MAILS_TOO_MANY');
    const outcome = await post.mailer.send(letter.mail);
    return outcome.kind === 'accepted' ? markSent(state, sagaId) : markFailed(state, sagaId, outcome.reason);
  } catch (error) {
    // A view is not there yet, the address is not verified yet, or the mail server is unreachable: this mail is delayed, and no
    // other waits for it.
    if (!isTransient(error) && !isCode(error, 'NOT_FOUND')) throw error;
    return delay(state, { now, version: 0 }, sagaId, error.reason);
  }
}

/**
 * The address that the customer can be written to, or the reason why there is none. `isFree`: the mail is about an order of
 * nothing, which anybody can place. UNAVAILABLE if that may change: EMAIL_NOT_VERIFIED, or the address can't be read at the moment.
 */
export function addressOf(
  { email, emailVerified, eraseTime }: Customer,
  { unverifiedAddresses }: Post,
  isFree: boolean,
): { to: string } | string {
  if (eraseTime) return 'CUSTOMER_ERASED';
  if (email === '') return 'NO_ADDRESS';
  // "[sealed]": a process without the key has answered.
  if (mailAddressProblem(email)) throw unavailable("the customer's address");
  if (emailVerified || (unverifiedAddresses && !isFree)) return { to: email };
  throw new CaudalError('UNAVAILABLE', 'EMAIL_NOT_VERIFIED', "The customer's address was not verified yet.");
}

/** Whether the customer may get one more mail, which counts from now on. */
async function isCounted(
  { aggregates, mailsPerHour: most }: Post,
  customerId: string,
  { sagaId: notificationId, origin, signal }: StepContext,
): Promise<boolean> {
  try {
    await aggregates.execute({
      decider: recipientDecider,
      id: customerId,
      decide: (state, decision) => countMail(state, decision, { customerId, notificationId, most }),
      reply: () => undefined,
      replyCodec: noReply,
      origin,
      signal,
    });
    return true;
  } catch (error) {
    if (isCode(error, 'FAILED_PRECONDITION') && error.reason === 'MAILS_TOO_MANY') return false;
    throw error;
  }
}
