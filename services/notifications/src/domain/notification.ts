/**
 * A notification: somebody shall be told something, and was or was not. It names the customer and the order only; what
 * is personal (name, address) is asked for when the mail is written, and never kept here.
 *
 *   requested ──> sent
 *       │  └────> failed      (refused for good, or given up)
 *       └─> delayed ──> the same again
 */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, notification } from '@caudal/contract/entities.ts';
import type { NotificationRequested } from '@caudal/contract/gen/caudal/notifications/v1/events.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';

export type NotificationEvent = EventOf<typeof notification>;

export interface NotificationState {
  /** 'none': it was never asked for. */
  status: 'none' | 'requested' | 'delayed' | 'sent' | 'failed';
  request: NotificationRequested;
  /** Failed attempts so far. */
  attempts: number;
  /** When to try (again), while it is requested or delayed. */
  dueAt: Date | undefined;
}

/** The pauses after failed attempts, in minutes; after the last of them it is given up (some 18 hours in all). */
const pausesInMinutes = [1, 5, 15, 60, 240, 720];

export const notificationDecider: Decider<NotificationState, NotificationEvent> = {
  entity: notification,
  initial: {
    status: 'none',
    request: { notificationId: '', customerId: '', template: '', orderId: '', reason: '' },
    attempts: 0,
    dueAt: undefined,
  },
  owner: ({ request }) => request.customerId || undefined,
  evolve(state, event, at) {
    switch (event.$case) {
      case 'requested':
        return { status: 'requested', request: event.value, attempts: 0, dueAt: at };
      case 'delayed':
        return { ...state, status: 'delayed', attempts: event.value.attempt, dueAt: event.value.dueTime };
      case 'sent':
        return { ...state, status: 'sent', dueAt: undefined };
      case 'failed':
        return { ...state, status: 'failed', dueAt: undefined };
    }
  },
};

/** The id of the one notification of this kind about an order: however often it is asked for, it is the same. */
export function notificationIdFor(orderId: string, template: string): string {
  return derivedId('notification', orderId, template);
}

const isOpen = ({ status }: NotificationState) => status === 'requested' || status === 'delayed';

function mustExist({ status }: NotificationState, id: string): void {
  if (status === 'none') throw notFound('notification', id);
}

/** Asks for it. Asked for again, nothing happens. */
export function request(state: NotificationState, wanted: NotificationRequested): NotificationEvent[] {
  return state.status === 'none' ? [{ $case: 'requested', value: wanted }] : [];
}

/** The mail server took it. Told again, or after it was given up, nothing happens. Refused: NOT_FOUND. */
export function markSent(state: NotificationState, id: string): NotificationEvent[] {
  mustExist(state, id);
  return isOpen(state) ? [{ $case: 'sent', value: {} }] : [];
}

/** It will never arrive: there is no address, or the mail server refuses it for good. Refused: NOT_FOUND. */
export function markFailed(state: NotificationState, id: string, reason: string): NotificationEvent[] {
  mustExist(state, id);
  return isOpen(state) ? [{ $case: 'failed', value: { reason } }] : [];
}

/**
 * An attempt failed in a way that may pass: it is tried again after a pause, or given up after the last one.
 * `error`: a reason without personal data. Before it is due nothing happens, as that attempt is noted already.
 * Refused: NOT_FOUND.
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
