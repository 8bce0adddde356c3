import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type {
  CustomerQueryServiceService,
  CustomerServiceService,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { type PersonalDataCipher, setPersonalDataCipher } from '@caudal/contract/personal.ts';
import type { Append } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { given } from '@caudal/testing/given.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { customerService } from './commands/customer-service.ts';
import { type CustomerEvent, type CustomerState, customerDecider, register, update } from './domain/customer.ts';
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
    const api = customerService({ aggregates }).handlers as unknown as Handlers<CustomerServiceService>;
    const queries = customerQueryService({ aggregates }).handlers as unknown as Handlers<CustomerQueryServiceService>;
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
    const api = customerService({ aggregates }).handlers as unknown as Handlers<CustomerServiceService>;
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

  test('writes no personal data in plain text once there is a cipher, and reads the same', async () => {
    const hex: PersonalDataCipher = {
      seal: (text) => `enc:v1:k:${Buffer.from(text).toString('hex')}`,
      open: (sealed) => Buffer.from(sealed.split(':')[3]!, 'hex').toString(),
    };
    setPersonalDataCipher(hex);
    try {
      const appended: Append[] = [];
      const log = memoryLog({
        domain: 'customers',
        async call(judge, appends) {
          appended.push(...appends);
          judge();
        },
      });
      const aggregates = openAggregates({ log, clock: () => new Date(), ids: newId });
      const api = customerService({ aggregates }).handlers as unknown as Handlers<CustomerServiceService>;
      const request = { requestId: 'x', customerId: 'c1', ...details };
      const first = await api.registerCustomer(request, testCall({ requestId: 'x' }));
      const again = await api.registerCustomer(request, testCall({ requestId: 'x' }));
      expect([first, again]).toEqual([expect.objectContaining(details), first]);
      const written = appended.flatMap(({ events, command }) => [...events.map(({ data }) => data), command?.reply]);
      const text = written.map((bytes) => Buffer.from(bytes ?? []).toString('latin1')).join();
      expect(text).toContain('enc:v1:k:');
      expect(text).not.toMatch(/Ada|example/);
      const elsewhere = openAggregates({ log: log.connect(), clock: () => new Date(), ids: newId });
      expect((await elsewhere.load(customerDecider, 'c1')).state.details).toEqual(details);
    } finally {
      setPersonalDataCipher(undefined);
    }
  });
});
