import { describe, expect, test } from '@jest/globals';
import { derivedId, newId } from './ids.ts';

describe('derivedId', () => {
  test('equal parts give equal ids, shaped as UUIDv8', () => {
    expect(derivedId('order', 1)).toBe(derivedId('order', 1));
    expect(derivedId('order', 1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test("parts with other borders give other ids: ['a', 'bc'] and ['ab', 'c']", () => {
    expect(derivedId('a', 'bc')).not.toBe(derivedId('ab', 'c'));
  });
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
