import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { customer, type EventOf } from '@caudal/contract/entities.ts';
import { EmailVerification } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { notificationDecider, notificationIdFor } from '../domain/notification.ts';
import type { Mail } from '../mailer.ts';
import { type VerificationMailsDependencies, verificationMails } from './verification-mails.ts';

const id = notificationIdFor('v1', 'email_verification');
const now = new Date('2026-01-01T00:00:00Z');
const expireTime = new Date('2026-01-01T01:00:00Z');
/** As a process of another context reads it: without the key. */
const event: EventOf<typeof customer> = {
  $case: 'emailVerificationRequested',
  value: { customerId: 'c1', verificationId: 'v1', email: '[sealed]', code: '[sealed]', expireTime },
};

function world(found: Partial<EmailVerification> | undefined) {
  const mails: Mail[] = [];
  const clock = () => now;
  const log = memoryLog({ domain: 'notifications' });
  const aggregates = openAggregates({ log, clock, ids: newId });
  const saga = verificationMails({
    customers: {
      async getEmailVerification({ verificationId }: { verificationId: string }) {
        if (!found) throw notFound('verification', verificationId);
        return EmailVerification.fromPartial({ email: 'ann@example.com', code: 'ABCDE23456', expireTime, ...found });
      },
    } as unknown as VerificationMailsDependencies['customers'],
    mailer: {
      async send(mail) {
        mails.push(mail);
        return { kind: 'accepted' };
      },
      async stop() {},
    },
    ...{ aggregates, mailsPerHour: 60, unverifiedAddresses: false },
  });
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const observed = { stream: customer.stream('c1'), id: 'c1', version: 2, at: now, event };
  const { sagaId, react } = concernOf(saga, customer.name, observed)!;
  const options = { saga, aggregates, clock, signal: new AbortController().signal };
  return {
    mails,
    log,
    observe: () => advance(options, sagaId, [{ react, origin }], 0),
    state: async () => (await aggregates.load(notificationDecider, id)).state,
  };
}

describe('mails with codes', () => {
  test('are sent once, to the address that is not verified yet, and no event has the code', async () => {
    const { observe, mails, log } = world({});
    await observe();
    await observe();
    expect(mails).toMatchObject([{ id, to: 'ann@example.com', text: expect.stringContaining('ABCDE-23456') }]);
    const bytes = log.events.map(({ data }) => Buffer.from(data).toString('latin1')).join();
    expect(bytes).not.toMatch(/ABCDE|ann@/);
  });

  test('are not sent once the code is not good any more', async () => {
    for (const found of [undefined, { expireTime: now }]) {
      const { observe, mails, state } = world(found);
      expect((await observe()).dueAt).toBeUndefined();
      expect([mails.length, (await state()).status]).toEqual([0, 'failed']);
    }
  });
});
