/** A customer as a receiver of mails: how many were sent within the last hour. */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, recipient } from '@caudal/contract/entities.ts';
import { refused } from '@caudal/kernel/errors.ts';

export type RecipientEvent = EventOf<typeof recipient>;

export interface RecipientState {
  customerId: string;
  /** The mails of the last hour before the latest of them. */
  mails: { notificationId: string; at: Date }[];
}

const hourMs = 3_600_000;
/** A mail is counted once, also if it is tried again for a day. */
const remembered = 1_000;

export const recipientDecider: Decider<RecipientState, RecipientEvent> = {
  entity: recipient,
  initial: { customerId: '', mails: [] },
  owner: ({ customerId }) => customerId || undefined,
  evolve({ mails }, { value: { customerId, notificationId } }, at) {
    const recent = mails.filter((mail) => mail.at.getTime() > at.getTime() - hourMs);
    return { customerId, mails: [...recent, { notificationId, at }].slice(-remembered) };
  },
  snapshot: { every: 200, schemaVersion: 1 },
};

/** Counts a mail; one that is counted already is not counted again. Refused: FAILED_PRECONDITION MAILS_TOO_MANY. */
export function countMail(
  { mails }: RecipientState,
  { now }: DecisionContext,
  { customerId, notificationId, most }: { customerId: string; notificationId: string; most: number },
): RecipientEvent[] {
  const recent = mails.filter(({ at }) => at.getTime() > now.getTime() - hourMs);
  if (recent.some((mail) => mail.notificationId === notificationId)) return [];
  if (recent.length >= most) throw refused('MAILS_TOO_MANY', `The customer got ${most} mails within an hour.`);
  return [{ $case: 'mailCounted', value: { customerId, notificationId } }];
}
