import { describe, expect, test } from '@jest/globals';
import { customer, entities, order } from './entities.ts';
import type { Entity } from './entity.ts';
import { eventJson, withoutPersonal } from './event-json.ts';

const registered = customer.encode({
  $case: 'registered',
  value: { customerId: 'c-1', displayName: 'Ada Lovelace', email: 'ada@example.com', country: 'GB' },
});
const created = order.encode({
  $case: 'created',
  value: {
    orderId: 'o-1',
    customerId: 'c-1',
    country: 'GB',
    lines: [{ productId: 'p-1', quantity: 2n, unitPrice: { minorUnits: 250n, currency: 'GBP' } }] as never,
    total: { minorUnits: 500n, currency: 'GBP' },
    paymentMethod: undefined,
    reference: '',
    attributes: {},
  },
});

describe('events in readable form', () => {
  test('have the JSON of the contract', () => {
    expect(eventJson(customer as Entity, registered)).toEqual({
      customerId: 'c-1',
      displayName: 'Ada Lovelace',
      email: 'ada@example.com',
      country: 'GB',
    });
    expect(eventJson(order as Entity, created)).toMatchObject({
      lines: [{ productId: 'p-1', quantity: '2', unitPrice: { minorUnits: '250', currency: 'GBP' } }],
    });
  });

  test('lose their personal fields and no others', () => {
    const masked = withoutPersonal(customer as Entity, registered);
    expect(customer.decode(masked).value).toEqual({
      customerId: 'c-1',
      displayName: '***',
      email: '***',
      country: 'GB',
    });
    expect(eventJson(order as Entity, withoutPersonal(order as Entity, created))).toEqual(
      eventJson(order as Entity, created),
    );
  });

  test('exist for every entity', () => {
    for (const entity of entities as unknown as Entity[]) {
      expect(() =>
        eventJson(entity, { type: `${entity.name}.x.v1`, schemaVersion: 1, data: new Uint8Array() }),
      ).toThrow('is not an event of');
    }
  });
});
