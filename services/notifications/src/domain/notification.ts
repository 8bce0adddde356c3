/**
 * A notification: one mail to a customer about an order or a refund, and its outcome. It contains the ids of customer and order
 * only; name and address are fetched when the mail is written, and never stored here.
 *
 *   requested ──> sent
 *       │  └────> failed      (refused finally, or given up)
 *       └─> delayed ──> sent, failed, or delayed again
 */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, notification } from '@caudal/contract/entities.ts';
import { NotificationRequested } from '@caudal/contract/gen/caudal/notifications/v1/events.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';

export type NotificationEvent = EventOf<typeof notification>;

export interface NotificationState {
  /** 'none': there was no request. */
  status: 'none' | 'requested' | 'delayed' | 'sent' | 'failed';
  request: NotificationRequested;
  /** When it was requested. */
  requestedAt: Date | undefined;
  /** Failed attempts so far. */
  attempts: number;
  /** The time of the next attempt, while it is requested or delayed. */
  dueAt: Date | undefined;
}

/** The pauses after failed attempts, in minutes; after the last one the mail is given up (about 17 hours in all). */
const pausesInMinutes = [1, 5, 15, 60, 240, 720];

export const notificationDecider: Decider<NotificationState, NotificationEvent> = {
  entity: notification,
  initial: {
    status: 'none',
    request: NotificationRequested.fromPartial({}),
    requestedAt: undefined,
    attempts: 0,
    dueAt: undefined,
  },
  owner: ({ request }) => request.customerId || undefined,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'requested':
        return { status: 'requested', request: event.value, requestedAt: at, attempts: 0, dueAt: at };
      case 'delayed':
        return { ...state, status: 'delayed', attempts: event.value.attempt, dueAt: event.value.dueTime };
      case 'sent':
        return { ...state, status: 'sent', dueAt: undefined };
      case 'failed':
        return { ...state, status: 'failed', dueAt: undefined };
    }
  },
};

/** The id of the notification for an order or shipment and template: the same for every repeat. */
export function notificationIdFor(subject: string, template: string): string {
  return derivedId('notification', subject, template);
}

/**
 * The id of the notification about a refund. `refundId`: of one refund of several, or 'whole'. It does not follow from the
 * event's version, which another event may get after a fail-over.
 */
export function refundNotificationIdFor(paymentId: string, refundId: string): string {
  return derivedId('notification', 'payment_refunded', paymentId, refundId);
}

const isOpen = ({ status }: NotificationState) => status === 'requested' || status === 'delayed';

function mustExist({ status }: NotificationState, id: string): void {
  if (status === 'none') throw notFound('notification', id);
}

/** Requests the notification. A repeat changes nothing. */
export function request(state: NotificationState, wanted: NotificationRequested): NotificationEvent[] {
  return state.status === 'none' ? [{ $case: 'requested', value: wanted }] : [];
}

/** The mail server has taken the mail. A repeat changes nothing, nor does it after a failure. Refused: NOT_FOUND. */
export function markSent(state: NotificationState, id: string): NotificationEvent[] {
  mustExist(state, id);
  return isOpen(state) ? [{ $case: 'sent', value: {} }] : [];
}

/** The mail will not be sent: there is no address, or the mail server refuses it finally. Refused: NOT_FOUND. */
export function markFailed(state: NotificationState, id: string, reason: string): NotificationEvent[] {
  mustExist(state, id);
  return isOpen(state) ? [{ $case: 'failed', value: { reason } }] : [];
}

/** Whether the mail is given up if this attempt fails. */
export function isLastAttempt({ attempts }: NotificationState): boolean {
  return attempts >= pausesInMinutes.length;
}

/**
 * An attempt failed with a transient error: the mail is tried again after a pause, or given up after the last one.
 * `error`: a reason without personal data. Before the mail is due nothing changes, since that attempt is recorded
 * already. Refused: NOT_FOUND.
 */
export function delay(
  state: NotificationState,
  { now }: DecisionContext,
  id: string,
  error: string,
): NotificationEvent[] {
  mustExist(state, id);
  if (!isOpen(state) || (state.dueAt && state.dueAt > now)) return [];
  const attempt = state.attempts + 1;
  const pause = pausesInMinutes[state.attempts];
  if (pause === undefined) return [{ $case: 'failed', value: { reason: `GAVE_UP: ${error}` } }];
  return [{ $case: 'delayed', value: { attempt, error, dueTime: new Date(now.getTime() + pause * 60_000) } }];
}

/** How long a mail waits for its customer's bound, and how often it looks. */
const postponedForMs = 24 * 3_600_000;
const postponedMs = 10 * 60_000;

/** The customer has got too many mails: this one waits, and that is no failed attempt; after a day it is given up. Refused: NOT_FOUND. */
export function postpone(
  state: NotificationState,
  { now }: DecisionContext,
  id: string,
  error: string,
): NotificationEvent[] {
  mustExist(state, id);
  if (!isOpen(state) || (state.dueAt && state.dueAt > now)) return [];
  if (state.requestedAt && state.requestedAt.getTime() + postponedForMs <= now.getTime())
    return [{ $case: 'failed', value: { reason: `GAVE_UP: ${error}` } }];
  const dueTime = new Date(now.getTime() + postponedMs);
  return [{ $case: 'delayed', value: { attempt: state.attempts, error, dueTime } }];
}
