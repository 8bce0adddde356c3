import { describe, expect, test } from '@jest/globals';
import { customer, entities, shipment } from './entities.ts';
import { type Entity, entity } from './entity.ts';
import { eventJson, withoutPersonal } from './event-json.ts';
import { Customer } from './gen/caudal/customers/v1/customers.ts';
import { hasNoTexts, personalCodec, personalEvents, personalMessage, protectionsOf } from './personal.ts';

const value = { customerId: 'c1', displayName: 'Ada', email: 'ada@example.org', country: 'GB' };
const registered = { $case: 'registered' as const, value };
const rawText = (data: Uint8Array) => Buffer.from(data).toString('latin1');
const bytes = personalEvents('customers.customer')!;
const sealed = (text: string) => `enc:v1:k1:${[...text].reverse().join('')}`;

describe('personal fields', () => {
  test('are the ones that the contract marks', () => {
    const withPersonal = entities.filter(({ name }) => protectionsOf(name).size > 0).map(({ name }) => name);
    expect(withPersonal).toEqual(['customers.customer', 'orders.order']);
    expect([...protectionsOf('orders.order').keys()]).toEqual(['created']);
    expect([bytes.ofSubject, personalEvents('orders.order')?.ofSubject]).toEqual([true, false]);
    expect([...protectionsOf('customers.customer').keys()]).toEqual([
      'registered',
      'updated',
      'emailVerificationRequested',
    ]);
    expect(personalEvents('shipping.shipment')).toBeUndefined();
  });

  test('are found in the bytes, with the person and the place of each', () => {
    const { data } = customer.encode(registered);
    const place = { person: 'c1', entity: 'customers.customer' };
    expect(bytes.texts(data, 'c1')).toEqual([
      { ...place, field: 'display_name', text: 'Ada' },
      { ...place, field: 'email', text: 'ada@example.org' },
    ]);
    const empty = customer.encode({ $case: 'updated', value: { displayName: '', email: '', country: 'GB' } });
    expect(bytes.texts(empty.data, 'c1')).toEqual([]);
    expect(bytes.texts(customer.encode({ $case: 'erased', value: { customerId: 'c1' } }).data, 'c1')).toEqual([]);
  });

  test('are changed in a copy, and no other field is', () => {
    const encoded = customer.encode(registered);
    const before = rawText(encoded.data);
    const data = bytes.change(encoded.data, 'c1', ({ text }) => sealed(text));
    expect(rawText(data)).not.toMatch(/Ada|ada@example/);
    expect(rawText(data)).toMatch(/c1.*enc:v1:k1:adA.*GB/s);
    expect(rawText(encoded.data)).toBe(before);
    expect(bytes.change(data, 'c1', ({ text }) => text)).toBe(data);
  });

  test('that are sealed read as [sealed], or stay sealed, and [sealed] is not written back', () => {
    const data = bytes.change(customer.encode(registered).data, 'c1', ({ text }) => sealed(text));
    const encoded = { ...customer.encode(registered), data };
    const read = customer.decode(encoded);
    expect(read.value).toEqual({ ...value, displayName: '[sealed]', email: '[sealed]' });
    expect(customer.decode(encoded, { keepSealed: true }).value).toMatchObject({ displayName: 'enc:v1:k1:adA' });
    expect(() => customer.encode(read)).toThrow(
      expect.objectContaining({ code: 'FAILED_PRECONDITION', reason: 'PERSONAL_DATA_SEALED' }),
    );
  });

  test('that only look sealed survive', () => {
    for (const displayName of ['enc:v1:k1:x:y', 'enc:v1:*abcdefgh:x', 'enc:v1::x', 'enc:v1:']) {
      const event = { ...registered, value: { ...value, displayName } };
      expect(customer.decode(customer.encode(event))).toEqual(event);
    }
  });

  test('of stored answers are found by the type of these', () => {
    const codec = personalCodec('caudal.customers.v1.Customer', Customer);
    expect(codec.personalType).toBe('caudal.customers.v1.Customer');
    const reply = Customer.fromPartial({ ...value, displayName: 'enc:v1:x' });
    const kept = codec.encode(reply).finish();
    expect(codec.decode(kept)).toEqual(reply);
    const entity = 'caudal.customers.v1.Customer';
    expect(personalMessage(entity).texts(kept, 'c1')).toContainEqual({
      ...{ person: 'c1', entity, field: 'email' },
      text: 'ada@example.org',
    });
    expect(() => personalCodec('caudal.Nothing', Customer)).toThrow('has no message caudal.Nothing');
    expect(personalCodec('caudal.type.v1.Money', Customer)).toBe(Customer);
  });

  test('that are all empty are known without decoding', () => {
    const empty = customer.encode({ $case: 'updated', value: { displayName: '', email: '', country: 'GB' } });
    expect([hasNoTexts(empty.data), hasNoTexts(customer.encode(registered).data)]).toEqual([true, false]);
    const codec = personalCodec('caudal.customers.v1.Customer', Customer);
    expect(hasNoTexts(codec.encode(Customer.fromPartial({ customerId: 'c1' })).finish())).toBe(true);
    expect(hasNoTexts(codec.encode(Customer.fromPartial(value)).finish())).toBe(false);
  });

  test('are shown as [sealed], or hidden', () => {
    const plain = customer.encode(registered);
    const data = bytes.change(plain.data, 'c1', ({ text }) => sealed(text));
    expect(eventJson(customer as Entity, plain)).toEqual(value);
    expect(eventJson(customer as Entity, { ...plain, data })).toMatchObject({ email: '[sealed]', country: 'GB' });
    expect(customer.decode(withoutPersonal(customer as Entity, plain)).value).toMatchObject({ email: '***' });
  });
});

describe('entities without personal fields', () => {
  test('need not be in the contract', () => {
    const codec = {
      encode: () => ({ finish: () => Buffer.from('x') }) as never,
      decode: () => ({ event: registered }),
    };
    const test = entity('test.thing', codec);
    expect(test.decode(test.encode(registered))).toBe(registered);
  });

  test('are written and read as they are', () => {
    const event = { $case: 'delivered' as const, value: { orderId: 'o1', shipmentId: 'o1', partial: false } };
    expect(shipment.decode(shipment.encode(event))).toEqual(event);
  });
});
