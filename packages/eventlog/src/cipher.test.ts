import { randomBytes } from 'node:crypto';
import { customer } from '@caudal/contract/entities.ts';
import { setPersonalDataCipher } from '@caudal/contract/personal.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parsePersonalDataKeys, personalDataCipher } from './cipher.ts';
import { newEvent } from './codec.ts';
import { openEventLog } from './event-log.ts';
import { migrations } from './migrations.ts';

const key = (id: string) => ({ id, key: randomBytes(32) });
const email = { entity: 'customers.customer', field: 'email' };
const registered = {
  $case: 'registered' as const,
  value: { customerId: 'c1', displayName: 'Ada Lovelace', email: 'ada@example.org', country: 'GB' },
};

afterEach(() => setPersonalDataCipher(undefined));

describe('personalDataCipher', () => {
  test('opens every text that it has sealed, and seals the same text differently each time', () => {
    const cipher = personalDataCipher([key('2026-01')]);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const sealed = cipher.seal(text, email);
        expect(sealed).toMatch(/^enc:v1:2026-01:[A-Za-z0-9_-]+$/);
        expect(cipher.open(sealed, email)).toBe(text);
        expect(cipher.seal(text, email)).not.toBe(sealed);
      }),
    );
  });

  test('opens with older keys after a rotation, and returns undefined if the key is missing', () => {
    const [old, current] = [key('old'), key('new')];
    const before = personalDataCipher([old]).seal('ada@example.org', email);
    const rotated = personalDataCipher([current, old]);
    expect(rotated.open(before, email)).toBe('ada@example.org');
    expect(rotated.seal('x', email)).toMatch(/^enc:v1:new:/);
    expect(personalDataCipher([current]).open(before, email)).toBeUndefined();
  });

  test('refuses texts that were changed, cut, moved to another field or sealed with another key of that name', () => {
    const mine = key('k');
    const cipher = personalDataCipher([mine, { ...key('other'), key: mine.key }]);
    const sealed = cipher.seal('ada@example.org', email);
    const bytes = Buffer.from(sealed.slice('enc:v1:k:'.length), 'base64url');
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 1;
      expect(() => cipher.open(`enc:v1:k:${changed.toString('base64url')}`, email)).toThrow("can't be opened");
    }
    for (const length of [0, 5, 12, 20, 28]) {
      const cut = bytes.subarray(0, length).toString('base64url');
      expect(() => cipher.open(`enc:v1:k:${cut}`, email)).toThrow("can't be opened");
    }
    expect(() => cipher.open(sealed, { ...email, field: 'display_name' })).toThrow("can't be opened");
    expect(() => cipher.open(sealed, { ...email, entity: 'orders.order' })).toThrow("can't be opened");
    expect(() => cipher.open(sealed.replace(':k:', ':other:'), email)).toThrow("can't be opened");
    expect(() => personalDataCipher([key('k')]).open(sealed, email)).toThrow("can't be opened");
  });

  test('a text that looks sealed is sealed like any other', () => {
    setPersonalDataCipher(personalDataCipher([key('k')]));
    for (const displayName of ['enc:v1:k:AAAA', 'enc:v1::x']) {
      const event = { ...registered, value: { ...registered.value, displayName } };
      expect(customer.decode(customer.encode(event))).toEqual(event);
    }
  });
});

describe('parsePersonalDataKeys', () => {
  const encoded = (bytes: number) => randomBytes(bytes).toString('base64');

  test('reads keys in their order', () => {
    const [first, second] = [encoded(32), encoded(32)];
    expect(parsePersonalDataKeys(`new:${first}, old_1:${second}`)).toEqual([
      { id: 'new', key: Buffer.from(first, 'base64') },
      { id: 'old_1', key: Buffer.from(second, 'base64') },
    ]);
  });

  test('names the fault in its error, and no key', () => {
    const good = encoded(32);
    const short = encoded(16);
    const wrong = (text: string) => {
      try {
        parsePersonalDataKeys(text);
      } catch (error) {
        return (error as Error).message;
      }
      return undefined;
    };
    expect(wrong('')).toBe('key 1 is not written as <id>:<base64>');
    expect(wrong(`a:${good},${good}`)).toBe('key 2 is not written as <id>:<base64>');
    expect(wrong(`a:${short}`)).toBe('key "a" has 16 bytes instead of 32');
    expect(wrong(`a:${good},a:${good}`)).toBe('key "a" is given twice');
  });
});

describeWith(['postgres'], 'personal data in the log', () => {
  test('is sealed in the bytes, and read back', async () => {
    const fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'customers', sets: [migrations] });
    const database = openDatabase({ url: fresh.url, schema: 'customers' });
    const log = openEventLog({ database, domain: 'customers' });
    try {
      setPersonalDataCipher(personalDataCipher([key('k1')]));
      const origin = { actor: 'c1', causationId: '', correlationId: '', traceparent: '' };
      const event = newEvent({ entity: customer, event: registered, origin, now: new Date() });
      await log.append({ stream: customer.stream('c1'), expected: 0, events: [event] });
      const rows = await database.query<{ row: string }>({
        text: "SELECT encode(data || metadata, 'escape') AS row FROM events",
      });
      expect(rows.length).toBe(1);
      expect(rows[0]!.row).toContain('enc:v1:k1:');
      expect(rows[0]!.row).not.toMatch(/ada|lovelace|example\.org/i);
      const [read] = await log.readStreams([{ stream: customer.stream('c1'), afterVersion: 0 }]);
      expect(customer.decode(read!)).toEqual(registered);
    } finally {
      await log.stop();
      await database.close();
      await fresh.drop();
    }
  });
});
