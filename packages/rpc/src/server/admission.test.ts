import type { Caller } from '@caudal/kernel/context.ts';
import { expect, test } from '@jest/globals';
import { openAdmission } from './admission.ts';

test('of a burst from one address only some checks begin: the others are told to wait before any work', async () => {
  const rates = { mayCheck() {}, countFailed() {} };
  const admission = openAdmission({ places: {}, rates, trusted: [], patience: {}, limits: {} } as never);
  const { promise: answer, resolve } = Promise.withResolvers<Caller>();
  let begun = 0;
  const outcomes = Array.from({ length: 2_000 }, async () =>
    admission.known('192.0.2.1', (mayCheck) => {
      mayCheck();
      begun++;
      return answer;
    }),
  );
  resolve({ subject: 'ada', permissions: new Set(), kind: 'user' });
  const settled = await Promise.allSettled(outcomes);
  expect(begun).toBeLessThanOrEqual(512);
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(begun);
  const [refusal] = settled.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
  expect(refusal!.reason).toMatchObject({ reason: 'SERVER_BUSY' });
  // Their places are free again.
  expect(await admission.known('192.0.2.1', () => answer)).toMatchObject({ subject: 'ada' });
});
