import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { customer } from '@caudal/contract/entities.ts';
import type {
  CustomerQueryServiceService,
  CustomerServiceService,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { sealingLog } from '@caudal/eventlog/personal/sealing-log.ts';
import { keysInMemory } from '@caudal/eventlog/testing/keys-in-memory.ts';
import type { Append, RecordedEvent } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { given } from '@caudal/testing/given.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { customerService } from './commands/customer-service.ts';
import {
  type CustomerEvent,
  type CustomerState,
  customerDecider,
  erase,
  markVerified,
  register,
  requestVerification,
  update,
  verify,
} from './domain/customer.ts';
import { customerQueryService } from './queries/customer-query-service.ts';

const details = { displayName: 'Ada', email: 'ada@example.org', country: 'United Kingdom' };
const registered: CustomerEvent = { $case: 'registered', value: { customerId: 'c1', ...details } };
const after = (...events: CustomerEvent[]) => given(customerDecider, events);
const nothing = { displayName: undefined, email: undefined, country: undefined };

describe('a customer', () => {
  test('is registered once', () => {
    const registering = (state: CustomerState) => register(state, { customerId: 'c1', ...details });
    after().when(registering).gives([registered]);
    after(registered).when(registering).refuses('ALREADY_EXISTS', 'CUSTOMER_EXISTS');
  });

  test('changes the given fields, also to empty', () => {
    const updating = (changed: Partial<typeof details>) => (state: CustomerState) =>
      update(state, 'c1', { ...nothing, ...changed });
    after(registered)
      .when(updating({ country: 'France' }))
      .gives([{ $case: 'updated', value: { ...details, country: 'France' } }]);
    after(registered)
      .when(updating({ displayName: '' }))
      .gives([{ $case: 'updated', value: { ...details, displayName: '' } }]);
    after(registered)
      .when(updating({ country: 'United Kingdom' }))
      .gives([]);
    after()
      .when(updating({ country: 'France' }))
      .refuses('NOT_FOUND', 'CUSTOMER_NOT_FOUND');
  });

  test('has a name and a country that are empty or say something', () => {
    for (const field of ['displayName', 'country']) {
      const blank = { [field]: '  \u00a0' };
      after()
        .when((state) => register(state, { customerId: 'c1', ...details, ...blank }))
        .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
      after(registered)
        .when((state) => update(state, 'c1', { ...nothing, ...blank }))
        .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    }
  });

  test('is registered, updated and read by the services', async () => {
    const now = new Date('2026-01-01T00:00:00Z');
    const aggregates = openAggregates({ log: memoryLog({ domain: 'customers' }), clock: () => now, ids: newId });
    const api = customerService({ aggregates, ids: newId }).handlers as unknown as Handlers<CustomerServiceService>;
    const queries = customerQueryService({ aggregates, sealed: aggregates })
      .handlers as unknown as Handlers<CustomerQueryServiceService>;
    expect((await refusalOf(queries.getCustomer({ customerId: 'c1', readMask: undefined }, testCall()))).reason).toBe(
      'CUSTOMER_NOT_FOUND',
    );
    const call = testCall({ requestId: 'x' });
    await api.registerCustomer({ requestId: 'x', customerId: 'c1', ...details }, call);
    await api.registerCustomer({ requestId: 'x', customerId: 'c1', ...details }, testCall({ requestId: 'x' }));
    expect(call.written).toEqual([{ stream: 'customers.customer/c1', version: 1 }]);
    const change = { requestId: '', customerId: 'c1', ...nothing, updateMask: undefined, country: 'France' };
    expect(await refusalOf(api.updateCustomer({ ...change, etag: '7' }, testCall()))).toEqual({
      code: 'ABORTED',
      reason: 'ETAG_MISMATCH',
    });
    await api.updateCustomer({ ...change, etag: '1' }, testCall());
    expect(await queries.getCustomer({ customerId: 'c1', readMask: undefined }, testCall())).toEqual({
      customerId: 'c1',
      ...details,
      country: 'France',
      emailVerified: false,
      eraseTime: undefined,
      createTime: now,
      updateTime: now,
      etag: '2',
    });
  });

  test('an update with a mask sets all fields of the mask, to empty if absent', async () => {
    const aggregates = openAggregates({
      log: memoryLog({ domain: 'customers' }),
      clock: () => new Date(),
      ids: newId,
    });
    const api = customerService({ aggregates, ids: newId }).handlers as unknown as Handlers<CustomerServiceService>;
    await api.registerCustomer({ requestId: '', customerId: 'c1', ...details }, testCall());
    const change = { requestId: '', customerId: 'c1', etag: '', ...nothing };
    const masked = (updateMask: string[], more: Partial<typeof details> = {}) =>
      api.updateCustomer({ ...change, ...more, updateMask }, testCall());
    expect(await masked(['email'], { country: 'France' })).toMatchObject({ ...details, email: '' });
    expect(await masked(['email', 'country'], { email: 'a@b.c' })).toMatchObject({ email: 'a@b.c', country: '' });
    expect(await masked(['*'], { displayName: 'Eve' })).toMatchObject({ displayName: 'Eve', email: '', country: '' });
    expect((await refusalOf(masked(['customer_id']))).reason).toBe('INVALID_FIELD');
    // A mask without a path is none.
    expect(await masked([], { email: 'e@f.g' })).toMatchObject({ displayName: 'Eve', email: 'e@f.g' });
    expect(await masked([], { email: '' })).toMatchObject({ displayName: 'Eve', email: '' });
  });

  test('can be erased once and for all', () => {
    const erased: CustomerEvent = { $case: 'erased', value: { customerId: 'c1' } };
    const erasing = (state: CustomerState) => erase(state, 'c1');
    after().when(erasing).refuses('NOT_FOUND', 'CUSTOMER_NOT_FOUND');
    after(registered).when(erasing).gives([erased]);
    after(registered, erased).when(erasing).gives([]);
    const { state } = after(registered, erased);
    expect(state).toMatchObject({ customerId: 'c1', details: { displayName: '', email: '', country: '' } });
    const refused: [string, (state: CustomerState) => CustomerEvent[]][] = [
      ['register', (before) => register(before, { customerId: 'c1', ...details })],
      ['update', (before) => update(before, 'c1', { ...nothing, country: 'France' })],
      ['verify', (before) => markVerified(before, 'c1', details.email)],
    ];
    for (const [, decide] of refused)
      after(registered, erased).when(decide).refuses('FAILED_PRECONDITION', 'CUSTOMER_ERASED');
  });

  describe('an address', () => {
    const now = new Date('2026-01-01T00:00:00Z');
    const wanted = { customerId: 'c1', verificationId: 'v1', code: 'ABCDE23456' };
    const expireTime = new Date('2026-01-01T01:00:00Z');
    const requested: CustomerEvent = {
      $case: 'emailVerificationRequested',
      value: { ...wanted, email: details.email, expireTime },
    };
    const verified: CustomerEvent = { $case: 'emailVerified', value: { customerId: 'c1' } };
    const failed: CustomerEvent = { $case: 'emailVerificationFailed', value: { verificationId: 'v1' } };
    const otherAddress: CustomerEvent = { $case: 'updated', value: { ...details, email: 'eve@example.org' } };
    const asking = (state: CustomerState, context: { now: Date; version: number }) =>
      requestVerification(state, context, wanted);
    const giving = (code: string) => (state: CustomerState, context: { now: Date; version: number }) =>
      verify(state, context, 'c1', (right) => right === code);

    test('is verified by the code that was mailed to it', () => {
      after(registered).when(asking, now).gives([requested]);
      after(registered, requested).when(giving('ABCDE23456'), now).gives([verified]);
      after(registered, requested, verified).when(giving('whatever'), now).gives([]);
      expect(after(registered, requested, verified).state.verification.verified).toBe(true);
    });

    test('is not verified by another code, after five attempts, after an hour, or by the code of another address', () => {
      after(registered, requested).when(giving('WRONG'), now).gives([failed]);
      const five = [failed, failed, failed, failed, failed];
      for (const events of [[], [requested, ...five], [requested, otherAddress]])
        after(registered, ...events)
          .when(giving('ABCDE23456'), now)
          .refuses('FAILED_PRECONDITION', 'VERIFICATION_ENDED');
      after(registered, requested)
        .when(giving('ABCDE23456'), expireTime)
        .refuses('FAILED_PRECONDITION', 'VERIFICATION_ENDED');
    });

    test('is unverified again once it is another one', () => {
      const { state } = after(registered, verified, otherAddress);
      expect(state.verification).toMatchObject({ verified: false, pending: undefined });
      const same: CustomerEvent = { $case: 'updated', value: { ...details, country: 'France' } };
      expect(after(registered, verified, same).state.verification.verified).toBe(true);
      after(registered, otherAddress)
        .when((before) => markVerified(before, 'c1', details.email))
        .refuses('FAILED_PRECONDITION', 'EMAIL_CHANGED');
    });

    test('gets three codes an hour at most', () => {
      const three = [requested, requested, requested];
      after(registered, ...three)
        .when(asking, now)
        .refuses('FAILED_PRECONDITION', 'VERIFICATIONS_TOO_MANY');
      // Another address does not begin anew.
      after(registered, ...three, otherAddress)
        .when(asking, now)
        .refuses('FAILED_PRECONDITION', 'VERIFICATIONS_TOO_MANY');
      const [event] = requestVerification(after(registered, ...three).state, { now: expireTime, version: 4 }, wanted);
      expect(event?.$case).toBe('emailVerificationRequested');
    });
  });

  describe('the services', () => {
    const world = () => {
      const appended: Append[] = [];
      const log = memoryLog({
        domain: 'customers',
        async call(judge, appends) {
          appended.push(...appends);
          judge();
        },
      });
      const store = keysInMemory();
      const open = () => {
        const keys = store.open();
        const sealed = sealingLog(log, { keys, openFormer: () => undefined, writePlain: false });
        const aggregates = openAggregates({ log: sealed, clock: () => new Date(), ids: newId });
        return {
          keys,
          api: customerService({ aggregates, ids: newId }).handlers as unknown as Handlers<CustomerServiceService>,
          queries: customerQueryService({
            aggregates,
            sealed: openAggregates({ log, clock: () => new Date(), ids: newId }),
          }).handlers as unknown as Handlers<CustomerQueryServiceService>,
        };
      };
      const bytes = () =>
        appended
          .flatMap(({ events, command }) => [...events.map(({ data }) => data), command?.reply])
          .map((data) => Buffer.from(data ?? []).toString('latin1'))
          .join();
      return { open, store, log, bytes };
    };
    const request = { requestId: 'x', customerId: 'c1', ...details };
    const get = { customerId: 'c1', readMask: undefined };

    test('write no personal data in plain text, and read the same in every process', async () => {
      const { open, bytes } = world();
      const { api } = open();
      const firstAnswer = await api.registerCustomer(request, testCall({ requestId: 'x' }));
      const again = await open().api.registerCustomer(request, testCall({ requestId: 'x' }));
      expect([firstAnswer, again]).toEqual([expect.objectContaining(details), firstAnswer]);
      expect(bytes()).toContain('enc:v1:*');
      expect(bytes()).not.toMatch(/Ada|example/);
      expect(await open().queries.getCustomer(get, testCall())).toMatchObject(details);
    });

    test('ask for no key where an answer shows nothing personal', async () => {
      const { open } = world();
      await open().api.registerCustomer(request, testCall({ requestId: 'x' }));
      const { queries, keys } = open();
      const masked = { customerId: 'c1', readMask: ['customer_id', 'erase_time'] };
      expect(await queries.getCustomer(masked, testCall())).toMatchObject({ customerId: 'c1', eraseTime: undefined });
      expect(keys.loads).toBe(0);
      await queries.getCustomer(get, testCall());
      expect(keys.loads).toBeGreaterThan(0);
    });

    test('show nothing of an erased customer, in no process, and not for a repeat of an older command', async () => {
      const { open, store } = world();
      const [one, other] = [open(), open()];
      await one.api.registerCustomer(request, testCall({ requestId: 'x' }));
      await other.queries.getCustomer(get, testCall());
      const erasure = { requestId: 'e', customerId: 'c1' };
      const erased = await one.api.eraseCustomer(erasure, testCall({ requestId: 'e' }));
      store.keys.set('c1', { kind: 'erased' });
      expect(erased).toMatchObject({ displayName: '', email: '', country: '', eraseTime: expect.any(Date) });
      expect(await one.api.eraseCustomer(erasure, testCall({ requestId: 'e' }))).toEqual(erased);
      expect(await one.api.eraseCustomer({ ...erasure, requestId: 'f' }, testCall({ requestId: 'f' }))).toEqual(erased);
      for (const { queries, api } of [one, other, open()]) {
        expect(await queries.getCustomer(get, testCall())).toEqual(erased);
        const repeat = await api.registerCustomer(request, testCall({ requestId: 'x' }));
        expect(repeat).toMatchObject({ displayName: '[erased]', email: '[erased]' });
        expect((await refusalOf(api.registerCustomer({ ...request, requestId: '' }, testCall()))).reason).toBe(
          'CUSTOMER_ERASED',
        );
      }
    });

    test('count attempts at a code that come at the same time, and take it in small letters with blanks', async () => {
      const { open, log } = world();
      const [one, other] = [open(), open()];
      await one.api.registerCustomer(request, testCall({ requestId: 'x' }));
      await one.api.requestEmailVerification({ requestId: '', customerId: 'c1' }, testCall());
      const attempts = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          refusalOf(
            [one, other][n % 2]!.api.verifyEmail({ requestId: '', customerId: 'c1', code: `NO${n}` }, testCall()),
          ),
        ),
      );
      const reasons = attempts.map(({ reason }) => reason).sort();
      expect(reasons).toEqual([...Array(5).fill('VERIFICATION_CODE_WRONG'), ...Array(5).fill('VERIFICATION_ENDED')]);
      await one.api.requestEmailVerification({ requestId: '', customerId: 'c1' }, testCall());
      const verificationId = lastVerification(log.events);
      const { code, email } = await one.queries.getEmailVerification({ customerId: 'c1', verificationId }, testCall());
      expect([email, code]).toEqual([details.email, expect.stringMatching(/^[2-9A-HJ-NP-Z]{10}$/)]);
      const spelled = `${code.slice(0, 5)} - ${code.slice(5)}`.toLowerCase();
      const answer = await other.api.verifyEmail({ requestId: '', customerId: 'c1', code: spelled }, testCall());
      expect(answer.emailVerified).toBe(true);
      const gone = one.queries.getEmailVerification({ customerId: 'c1', verificationId }, testCall());
      expect((await refusalOf(gone)).reason).toBe('VERIFICATION_NOT_FOUND');
    });
  });
});

/** The id of the last verification, which an event shows to everybody. */
function lastVerification(events: readonly RecordedEvent[]): string {
  const last = events
    .map((event) => customer.decode(event))
    .findLast(({ $case }) => $case === 'emailVerificationRequested');
  return (last!.value as { verificationId: string }).verificationId;
}
