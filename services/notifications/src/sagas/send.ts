/** The step of a notification: writes the mail and sends it. */
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import type { StepContext } from '@caudal/sagas/types.ts';
import { delay, markFailed, markSent, type NotificationEvent, type NotificationState } from '../domain/notification.ts';
import type { Mail, Mailer } from '../mailer.ts';

/**
 * Sends the mail that `write` gives, and returns the facts of its outcome. `write` may give a reason instead, for which
 * there is no mail.
 */
export async function send(
  mailer: Mailer,
  state: NotificationState,
  { sagaId, now }: StepContext,
  write: () => Promise<Mail | string>,
): Promise<NotificationEvent[]> {
  try {
    const mail = await write();
    if (typeof mail === 'string') return markFailed(state, sagaId, mail);
    const outcome = await mailer.send(mail);
    return outcome.kind === 'accepted' ? markSent(state, sagaId) : markFailed(state, sagaId, outcome.reason);
  } catch (error) {
    // A view is not there yet, or the mail server is unreachable: this mail is delayed, and no other waits for it.
    if (!isTransient(error) && !isCode(error, 'NOT_FOUND')) throw error;
    return delay(state, { now, version: 0 }, sagaId, error.reason);
  }
}
