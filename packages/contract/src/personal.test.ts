import { afterEach, describe, expect, test } from '@jest/globals';
import { customer, entities, shipment } from './entities.ts';
import { type Entity, entity } from './entity.ts';
import { eventJson, withoutPersonal } from './event-json.ts';
import { Customer } from './gen/caudal/customers/v1/customers.ts';
import { type PersonalDataCipher, personalCodec, protectionsOf, setPersonalDataCipher } from './personal.ts';

/** Seals by writing the text backwards, with the key and the field. It knows the given keys. */
function backwards(...keys: string[]): PersonalDataCipher {
  const turned = (text: string) => [...text].reverse().join('');
  return {
    seal: (text, { entity: name, field }) => `enc:v1:${keys[0]}:${name}.${field}:${turned(text)}`,
    open(sealed, { entity: name, field }) {
      const [, , key, place, text] = sealed.split(':');
      if (!keys.includes(key!)) return undefined;
      if (place !== `${name}.${field}`) throw new Error('it stands in another place');
      return turned(text!);
    },
  };
}

const value = { customerId: 'c1', displayName: 'Ada', email: 'ada@example.org', country: 'GB' };
const registered = { $case: 'registered' as const, value };
const updated = { $case: 'updated' as const, value: { displayName: 'Ada', email: '', country: 'GB' } };
const rawText = (data: Uint8Array) => Buffer.from(data).toString('latin1');

afterEach(() => setPersonalDataCipher(undefined));

describe('personal fields', () => {
  test('are the ones that the contract marks', () => {
    const withPersonal = entities.filter(({ name }) => protectionsOf(name).size > 0).map(({ name }) => name);
    expect(withPersonal).toEqual(['customers.customer']);
    expect([...protectionsOf('customers.customer').keys()]).toEqual(['registered', 'updated']);
  });

  test('are sealed in the bytes, and no other field is', () => {
    setPersonalDataCipher(backwards('k1'));
    const encoded = customer.encode(registered);
    expect(rawText(encoded.data)).not.toMatch(/Ada|ada@example/);
    expect(rawText(encoded.data)).toContain('enc:v1:k1:customers.customer.email:gro.elpmaxe@ada');
    expect(rawText(encoded.data)).toMatch(/c1.*GB/s);
    expect(customer.decode(encoded)).toEqual(registered);
    expect(registered.value).toBe(value);
    expect(value.email).toBe('ada@example.org');
    expect(customer.decode(customer.encode(updated))).toEqual(updated);
  });

  test('are plain without a cipher, and stay readable once there is one', () => {
    const plain = customer.encode(registered);
    expect(rawText(plain.data)).toContain('ada@example.org');
    setPersonalDataCipher(backwards('k1'));
    expect(customer.decode(plain)).toEqual(registered);
  });

  test("read as [sealed] without the key, and can't be written back", () => {
    setPersonalDataCipher(backwards('k1'));
    const encoded = customer.encode(registered);
    for (const other of [undefined, backwards('k2')]) {
      setPersonalDataCipher(other);
      const read = customer.decode(encoded);
      expect(read.value).toEqual({ ...value, displayName: '[sealed]', email: '[sealed]' });
      expect(() => customer.encode(read)).toThrow(
        expect.objectContaining({ code: 'FAILED_PRECONDITION', reason: 'PERSONAL_DATA_SEALED' }),
      );
    }
  });

  test('that only look sealed survive without a cipher', () => {
    for (const displayName of ['enc:v1:k1:x:y', 'enc:v1::x', 'enc:v1:']) {
      const event = { ...registered, value: { ...value, displayName } };
      setPersonalDataCipher(undefined);
      const encoded = customer.encode(event);
      expect(customer.decode(encoded)).toEqual(event);
      setPersonalDataCipher(backwards('k1'));
      expect(customer.decode(encoded)).toEqual(event);
    }
  });

  test('of stored answers are sealed, too', () => {
    setPersonalDataCipher(backwards('k1'));
    const codec = personalCodec('caudal.customers.v1.Customer', Customer);
    const reply = Customer.fromPartial(value);
    const kept = codec.encode(reply).finish();
    expect(rawText(kept)).not.toContain('ada@example');
    expect(codec.decode(kept)).toEqual(reply);
    expect(() => personalCodec('caudal.Nothing', Customer)).toThrow('has no message caudal.Nothing');
  });

  test('are shown to people with the right, and hidden from others without any key', () => {
    setPersonalDataCipher(backwards('k1'));
    const encoded = customer.encode(registered);
    expect(eventJson(customer as Entity, encoded)).toEqual(value);
    setPersonalDataCipher(undefined);
    expect(eventJson(customer as Entity, encoded)).toMatchObject({ email: '[sealed]', country: 'GB' });
    expect(customer.decode(withoutPersonal(customer as Entity, encoded)).value).toMatchObject({ email: '***' });
  });
});

describe('entities without personal fields', () => {
  test('are written as if there were no cipher', () => {
    const event = { $case: 'delivered' as const, value: { orderId: 'o1', shipmentId: 'o1', partial: false } };
    const before = shipment.encode(event);
    setPersonalDataCipher({
      seal: () => {
        throw new Error('not to be called');
      },
      open: () => {
        throw new Error('not to be called');
      },
    });
    expect(shipment.encode(event)).toEqual(before);
    expect(shipment.decode(before)).toEqual(event);
  });

  test('need not be in the contract', () => {
    const codec = {
      encode: () => ({ finish: () => Buffer.from('x') }) as never,
      decode: () => ({ event: registered }),
    };
    const test = entity('test.thing', codec);
    expect(test.decode(test.encode(registered))).toBe(registered);
  });
});
