import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { contract, load } from './descriptors.ts';
import { entities } from './entities.ts';

describe('contract', () => {
  test('has the route, the access and the kind of a command', () => {
    expect(contract().method('/caudal.orders.v1.OrderService/CancelOrder')).toMatchObject({
      service: 'caudal.orders.v1.OrderService',
      name: 'CancelOrder',
      http: [{ method: 'POST', template: '/v1/orders/{order_id}:cancel', body: true }],
      access: { permission: 'orders.orders.cancel', ownerField: undefined, ownerInResource: true, internal: false },
      successStatus: 200,
      maxRequestBytes: undefined,
      maxBytesInFlight: undefined,
      rateLimit: 'DEFAULT',
      noSideEffects: false,
    });
  });

  test('has a query, an owner in the request and an internal method', () => {
    const list = contract().method('/caudal.orders.v1.OrderQueryService/ListOrders');
    expect(list).toMatchObject({ noSideEffects: true, access: { ownerField: 'customer_id', ownerInResource: false } });
    const internal = contract().method('/caudal.log.v1.LogService/ReadLog');
    expect(internal).toMatchObject({ http: [], access: { internal: true } });
  });

  test('every method has an access, and no two share a route', () => {
    const methods = contract().methods();
    expect(methods.length).toBeGreaterThan(30);
    const routes = methods.flatMap(({ http }) => http.map(({ method, template }) => `${method} ${template}`));
    expect(new Set(routes).size).toBe(routes.length);
  });

  test('a method without access, or an unknown method, is refused by name', () => {
    const { files } = contract();
    const bare = create(FileDescriptorProtoSchema, {
      name: 'caudal/bare.proto',
      package: 'caudal.bare',
      syntax: 'proto3',
      messageType: [{ name: 'Empty' }],
      service: [
        {
          name: 'BareService',
          method: [{ name: 'Open', inputType: '.caudal.bare.Empty', outputType: '.caudal.bare.Empty' }],
        },
      ],
    });
    const set = create(FileDescriptorSetSchema, { file: [...files.file, bare] });
    const other = load(toBinary(FileDescriptorSetSchema, set));
    expect(() => other.method('/caudal.bare.BareService/Open')).toThrow('has no option (caudal.access)');
    expect(() => other.methods()).toThrow('/caudal.bare.BareService/Open');
    expect(() => other.method('/caudal.bare.BareService/Close')).toThrow('has no method');
  });

  test('has comments, personal fields and entities', () => {
    const { registry, comment, isPersonal, entityOf } = contract();
    const customer = registry.getMessage('caudal.customers.v1.Customer')!;
    expect(comment(customer)).toBe('A customer.');
    expect(comment(customer.field.email!)).toBe('The e-mail address for notifications.');
    expect(comment(registry.getService('caudal.orders.v1.OrderService')!.methods[0]!)).toContain('Places an order');
    expect(comment(registry.getEnum('caudal.orders.v1.OrderStatus')!.values[3]!)).toBe(
      'On its way, at least a part of it: `fulfilment_status` says more.',
    );
    expect(customer.fields.filter(isPersonal).map(({ name }) => name)).toEqual(['display_name', 'email']);
    const declared = [...registry].flatMap((type) => (type.kind === 'message' ? entityOf(type) || [] : []));
    expect(declared.sort()).toEqual(entities.map(({ name }) => name).sort());
  });

  test('has the rules for fields', () => {
    const { registry, fieldRules, isRequired } = contract();
    const place = registry.getMessage('caudal.orders.v1.PlaceOrderRequest')!;
    expect(fieldRules(place.field.country!)).toMatchObject({ type: { case: 'string', value: { minLen: 1n } } });
    expect(fieldRules(registry.getMessage('caudal.orders.v1.Order')!.field.country!)).toBeUndefined();
    expect(isRequired(registry.getMessage('caudal.orders.v1.PaymentMethod')!.oneofs[0]!)).toBe(true);
  });
});
