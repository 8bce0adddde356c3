import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { cart } from '@caudal/contract/entities.ts';
import { Cart } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { notificationDecider } from '../domain/notification.ts';
import type { Mail } from '../mailer.ts';
import { type CartMailsDependencies, cartMails } from './cart-mails.ts';

const agreed = [{ name: 'reminders', values: ['yes'] }];

const someLines: object[] = [{ productId: 'MUG' }];

async function remind({ mayRemind = true, lines = someLines, fields = agreed, isErased = false } = {}) {
  const mails: Mail[] = [];
  const at = new Date('2026-01-01T00:00:00Z');
  const clock = () => at;
  const aggregates = openAggregates({ log: memoryLog({ domain: 'notifications' }), clock, ids: newId });
  const saga = cartMails({
    carts: {
      async getCart() {
        if (isErased) throw refused('CUSTOMER_ERASED', 'The customer was erased.');
        return Cart.fromPartial({ lines, fields });
      },
    } as unknown as CartMailsDependencies['carts'],
    customers: {
      getCustomer: async () =>
        Customer.fromPartial({ customerId: 'c1', email: 'ann@example.com', emailVerified: true }),
    } as unknown as CartMailsDependencies['customers'],
    mailer: {
      async send(mail) {
        mails.push(mail);
        return { kind: 'accepted' };
      },
      async stop() {},
    },
    ...{ aggregates, mailsPerHour: 60, unverifiedAddresses: false },
  });
  const event = {
    $case: 'abandoned' as const,
    value: { customerId: 'c1', lines: 1, lastChangeTime: at, mayRemind },
  };
  const observed = { stream: cart.stream('c1'), id: 'c1', version: 1, at, event };
  const { sagaId, react } = concernOf(saga, cart.name, observed)!;
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const options = { saga, aggregates, clock, signal: new AbortController().signal };
  for (let time = 0; time < 2; time++) await advance(options, sagaId, [{ react, origin }], 0);
  return { mails, state: (await aggregates.load(notificationDecider, sagaId)).state };
}

test('a customer who has agreed is reminded once, without a word of what a person wrote', async () => {
  const { mails } = await remind();
  expect(mails).toMatchObject([{ to: 'ann@example.com', text: expect.stringContaining('your cart') }]);
});

test('nobody else is: without consent, after it was withdrawn, if the cart is empty by now, or after an erasure', async () => {
  expect((await remind({ mayRemind: false })).mails).toEqual([]);
  const withdrawn = await remind({ fields: [] });
  expect([withdrawn.mails, withdrawn.state.status]).toEqual([[], 'failed']);
  const empty = await remind({ lines: [] });
  expect([empty.mails, empty.state.status]).toEqual([[], 'failed']);
  const erased = await remind({ isErased: true });
  expect([erased.mails, erased.state.status]).toEqual([[], 'failed']);
});
