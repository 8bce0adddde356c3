import { entities, order, payment, stock } from '@caudal/contract/entities.ts';
import { type Entity, NewerEvent } from '@caudal/contract/entity.ts';
import { unionOf } from '@caudal/contract/unions.ts';
import { validator } from '@caudal/rpc/schema/validation.ts';
import { expect, test } from '@jest/globals';
import { sampleEvents, unknownEncoded } from './sample-events.ts';

const all: readonly Entity[] = entities;

test.each(all.map((entity) => [entity.name, entity] as const))(
  '%s has a sample of every case, which survives its encoding and passes validation',
  (name, entity) => {
    const samples = sampleEvents(entity);
    const fields = unionOf(name)!.fields;
    expect([...new Set(samples.map(({ $case }) => $case))]).toEqual(fields.map(({ localName }) => localName));
    for (const event of samples) {
      expect(entity.decode(entity.encode(event))).toEqual(event);
      const { message } = fields.find(({ localName }) => localName === event.$case)!;
      validator(message!)(event.value as Record<string, unknown>);
    }
  },
);

test('every field is set, and every alternative of a union is covered', () => {
  const created = sampleEvents(order).filter(({ $case }) => $case === 'created');
  expect(created[0]!.value).toMatchObject({
    orderId: 'order_id',
    lines: [{ productId: 'product_id', quantity: 7n, unitPrice: { minorUnits: 7n, currency: 'GBP' } }],
    attributes: { attributes: 'attributes' },
  });
  const methods = sampleEvents(payment).flatMap((event) =>
    event.$case === 'requested' ? [event.value.method!.$case] : [],
  );
  expect(methods.sort()).toEqual(['cardToken', 'walletId']);
  const [reserved] = sampleEvents(stock).filter(({ $case }) => $case === 'reserved');
  expect((reserved!.value as { expireTime: Date }).expireTime).toBeInstanceOf(Date);
});

test('an unknown event can only be read by a newer version', () => {
  for (const entity of all) expect(() => entity.decode(unknownEncoded(entity))).toThrow(NewerEvent);
});
