import { describe, expect, test } from '@jest/globals';
import { derivedId } from './ids.ts';

describe('derivedId', () => {
  test('equal parts give equal ids, shaped as UUIDv8', () => {
    expect(derivedId('order', 1)).toBe(derivedId('order', 1));
    expect(derivedId('order', 1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('the border between parts counts', () => {
    expect(derivedId('a', 'bc')).not.toBe(derivedId('ab', 'c'));
  });
});
