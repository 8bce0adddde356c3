import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { dataKey, formerTexts, openText, parsePersonalDataKeys, sealText } from './cipher.ts';
import { localWrapping, withDeadline } from './wrapping.ts';

const key = (id: string) => ({ id, key: randomBytes(32) });
const email = { person: 'c1', entity: 'customers.customer', field: 'email' };

describe("a person's texts", () => {
  test('open with the key that has sealed them, and are sealed differently each time', () => {
    const own = dataKey(randomBytes(32));
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (text) => {
        const sealed = sealText(own, text, email);
        expect(sealed).toMatch(/^enc:v1:\*[A-Za-z0-9_-]{8}:[A-Za-z0-9_-]+$/);
        expect(openText(own, sealed, email)).toBe(text);
        expect(sealText(own, text, email)).not.toBe(sealed);
      }),
    );
    expect(openText(dataKey(randomBytes(32)), sealText(own, 'x', email), email)).toBeUndefined();
  });

  test('that were changed, cut, or moved to another person, entity or field are refused', () => {
    const own = dataKey(randomBytes(32));
    const sealed = sealText(own, 'ada@example.org', email);
    const begin = `enc:v1:*${own.check}:`;
    const bytes = Buffer.from(sealed.slice(begin.length), 'base64url');
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 1;
      expect(() => openText(own, `${begin}${changed.toString('base64url')}`, email)).toThrow("can't be opened");
    }
    for (const length of [0, 5, 12, 20, 28]) {
      const cut = bytes.subarray(0, length).toString('base64url');
      expect(() => openText(own, `${begin}${cut}`, email)).toThrow("can't be opened");
    }
    for (const other of [{ person: 'c2' }, { field: 'display_name' }, { entity: 'orders.order' }])
      expect(() => openText(own, sealed, { ...email, ...other })).toThrow("can't be opened");
  });
});

describe('texts of version 0.2', () => {
  /** As that version has sealed. */
  function sealFormer({ id, key: secret }: { id: string; key: Buffer }, text: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', secret, nonce, { authTagLength: 16 });
    cipher.setAAD(Buffer.from(JSON.stringify([id, 'customers.customer', 'email'])));
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return `enc:v1:${id}:${Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')}`;
  }

  test('open with the same keys, for whatever person', () => {
    const [old, current] = [key('old'), key('new')];
    const sealed = sealFormer(old, 'ada@example.org');
    expect(formerTexts([current, old])(sealed, email)).toBe('ada@example.org');
    expect(formerTexts([current])(sealed, email)).toBeUndefined();
    expect(formerTexts([old])(sealed, { ...email, field: 'display_name' })).toBeUndefined();
    expect(formerTexts([old])('enc:v1:old:AAAA', email)).toBeUndefined();
  });
});

describe('wrapping', () => {
  const secret = randomBytes(32);

  test('gives the key back for its person, by any of the keys, after a rotation', async () => {
    const [old, current] = [key('old'), key('new')];
    const wrapped = await localWrapping([old]).wrap(secret, 'c1');
    expect(Buffer.from(wrapped).includes(secret)).toBe(false);
    const rotated = localWrapping([current, old]);
    expect(await rotated.unwrap({ wrapped, by: 'old' }, 'c1')).toEqual(secret);
    expect(await localWrapping([current]).unwrap({ wrapped, by: 'old' }, 'c1')).toBeUndefined();
    await expect(rotated.unwrap({ wrapped, by: 'old' }, 'c2')).rejects.toThrow("can't be unwrapped");
    await expect(rotated.unwrap({ wrapped, by: 'new' }, 'c1')).rejects.toThrow("can't be unwrapped");
  });

  test('that is not answered ends with UNAVAILABLE', async () => {
    const silent = withDeadline(
      { current: 'kms', knows: () => true, wrap: () => new Promise(() => {}), unwrap: () => new Promise(() => {}) },
      20,
    );
    await expect(silent.wrap(secret, 'c1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(silent.unwrap({ wrapped: secret, by: 'kms' }, 'c1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
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
