import { describe, expect, test } from '@jest/globals';
import { shipment } from './entities.ts';

describe('entity', () => {
  test('an event comes back as it was encoded, under its type', () => {
    const event = { $case: 'delivered' as const, value: { orderId: 'o1' } };
    const encoded = shipment.encode(event);
    expect(encoded.type).toBe('shipping.shipment.delivered.v1');
    expect(shipment.decode(encoded)).toEqual(event);
  });

  test('an event of a newer schema version is refused by name', () => {
    const encoded = shipment.encode({ $case: 'delivered', value: { orderId: 'o1' } });
    expect(() => shipment.decode({ ...encoded, schemaVersion: 2 })).toThrow(
      'shipping.shipment.delivered.v1 has schema version 2',
    );
  });
});
