import { describe, expect, test } from '@jest/globals';
import { derivedId, derivedIdAt, newId, timeOfId } from './ids.ts';

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

test('derivedIdAt gives a UUIDv7 of the time, the same for the same parts', () => {
  const madeAt = Date.UTC(2026, 0, 1);
  const id = derivedIdAt(madeAt, 'order', 1);
  expect(id).toBe(derivedIdAt(madeAt, 'order', 1));
  expect(timeOfId(id)).toBe(madeAt);
  expect(new Set([id, derivedIdAt(madeAt, 'order', 2), derivedIdAt(madeAt + 1, 'order', 1)]).size).toBe(3);
});
