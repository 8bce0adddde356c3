import { describe, expect, test } from '@jest/globals';
import { derivedId, derivedIdAt, hashOf, newId, timeOfId } from './ids.ts';

describe('derivedId', () => {
  test('equal parts give equal ids, shaped as UUIDv8', () => {
    expect(derivedId('order', 1)).toBe(derivedId('order', 1));
    expect(derivedId('order', 1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("parts with other borders give other ids: ['a', 'bc'] and ['ab', 'c']", () => {
    expect(derivedId('a', 'bc')).not.toBe(derivedId('ab', 'c'));
  });
});

test('derived ids are what they have always been: they stand in logs', () => {
  expect(derivedId('order', 1)).toBe('8032240d-e597-8aef-82ae-35b783c4cf4d');
  expect(derivedId('a', 'ß€')).toBe('e3e28071-960e-8a19-9e0b-811ae71f65a5');
  expect(derivedIdAt(1_700_000_000_000, 'order', 1)).toBe('018bcfe5-6800-7aef-82ae-35b783c4cf4d');
  expect(derivedIdAt(5, 'x')).toBe('00000000-0005-7e9d-a060-b385c9f136ca');
  expect(hashOf(['a', 'bc'])).toBe('22820a03ed72f5350ea9d789a4f9ccc0');
});

describe('newId', () => {
  test('is a unique UUIDv7, and later ids sort after earlier ones', async () => {
    const ids = Array.from({ length: 2000 }, newId);
    expect(new Set(ids).size).toBe(2000);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    await new Promise((resolve) => setTimeout(resolve, 2));
    expect(newId() > ids.at(-1)!).toBe(true);
  });
});

test('derivedIdAt gives a UUIDv7 of the time, the same for the same parts', () => {
  const madeAt = Date.UTC(2026, 0, 1);
  const id = derivedIdAt(madeAt, 'order', 1);
  expect(id).toBe(derivedIdAt(madeAt, 'order', 1));
  expect(timeOfId(id)).toBe(madeAt);
  expect(new Set([id, derivedIdAt(madeAt, 'order', 2), derivedIdAt(madeAt + 1, 'order', 1)]).size).toBe(3);
});
