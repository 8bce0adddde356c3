import { describe, expect, test } from '@jest/globals';
import { stock } from './entities.ts';

describe('entity', () => {
  test('an event comes back as it was encoded, under its type', () => {
    const event = { $case: 'restocked', value: { quantity: 5n } } as const;
    const encoded = stock.encode(event);
    expect(encoded.type).toBe('inventory.stock.restocked.v1');
    expect(stock.decode(encoded)).toEqual(event);
  });

  test('an event of a newer schema version is refused by name', () => {
    const encoded = stock.encode({ $case: 'restocked', value: { quantity: 5n } });
    expect(() => stock.decode({ ...encoded, schemaVersion: 2 })).toThrow(
      'inventory.stock.restocked.v1 has schema version 2',
    );
  });
});
