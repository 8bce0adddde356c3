import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from '@jest/globals';
import { shipment } from './entities.ts';
import { NewerEvent } from './entity.ts';

/** As an event of version 0.2 is read: fields that it did not know have their defaults. */
const delivered = { orderId: 'o1', shipmentId: '', partial: false };

describe('entity', () => {
  test('an event survives encoding and decoding, under its type', () => {
    const event = { $case: 'delivered' as const, value: { orderId: 'o1', shipmentId: 'o1', partial: false } };
    const encoded = shipment.encode(event);
    expect(encoded.type).toBe('shipping.shipment.delivered.v1');
    expect(shipment.decode(encoded)).toEqual(event);
  });

  test('an event of a newer schema version is refused by name', () => {
    const encoded = shipment.encode({ $case: 'delivered', value: delivered });
    const newer = () => shipment.decode({ ...encoded, schemaVersion: 2 });
    expect(newer).toThrow('shipping.shipment.delivered.v1 has schema version 2');
    expect(newer).toThrow(NewerEvent);
  });

  test('so is an event of an unknown type; an unknown field is ignored', () => {
    const message = new BinaryWriter().tag(1, 2).string('o1').tag(99, 2).string('new').finish();
    const inField = (field: number) => new BinaryWriter().tag(field, 2).bytes(message).finish();
    const unknown = { type: 'shipping.shipment.delivered.v2', schemaVersion: 1, data: inField(99) };
    expect(() => shipment.decode(unknown)).toThrow(NewerEvent);
    const { data } = shipment.encode({ $case: 'delivered', value: delivered });
    const known = { type: 'shipping.shipment.delivered.v1', schemaVersion: 1, data: inField(data[0]! >> 3) };
    expect(shipment.decode(known)).toEqual({ $case: 'delivered', value: delivered });
  });
});
