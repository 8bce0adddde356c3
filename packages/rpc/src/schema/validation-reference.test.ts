/** The rules compared with protovalidate, the reference, on random messages. */
import { type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { contract } from '@caudal/contract/descriptors.ts';
import { RegisterCustomerRequest } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { AdjustStockRequest, ReserveStockRequest } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { ListOrdersRequest, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CreatePaymentRequest } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { validator } from './validation.ts';

const { registry } = contract();
const type = (name: string) => registry.getMessage(`caudal.${name}`)!;

function fieldsOf(name: string, message: unknown): string[] {
  try {
    validator(type(name))(message);
    return [];
  } catch (error) {
    return (error as CaudalError).violations.map(({ field }) => field);
  }
}

// Values of each kind near the bounds of its rules.
const texts = fc.oneof(
  fc.constantFrom('', 'a', 'p-1', 'GBP', 'gbp', '-x', 'a b', 'x@y.zz', 'x@', 'é', '😀'.repeat(3), 'orders'),
  fc.constantFrom(39, 40, 41, 64, 65, 100, 101, 199, 200, 201).map((n) => 'é'.repeat(n)),
  fc.constantFrom(63, 64, 65, 100, 101).map((n) => 'a'.repeat(n)),
  fc.constantFrom(99, 100, 101).map((n) => '😀'.repeat(n)),
  fc.uuid(),
);
const counts = fc.oneof(
  fc.bigInt({ min: -3n, max: 3n }),
  fc.constantFrom(1_000_000_000n, 1_000_000_001n, -1_000_000_000n),
);
const lines = fc.array(fc.record({ productId: texts, quantity: counts }), { maxLength: 3 });
const money = fc.option(fc.record({ minorUnits: fc.oneof(counts, fc.constant(10n ** 15n + 1n)), currency: texts }), {
  nil: undefined,
});
const attributes = fc
  .constantFrom(0, 1, 20, 21)
  .map((n) => Object.fromEntries(Array.from({ length: n }, (_, k) => [`${k}k`, 'v'])));
const way = fc.option(
  fc.oneof(
    texts.map((value) => ({ $case: 'walletId' as const, value })),
    texts.map((value) => ({ $case: 'cardToken' as const, value })),
  ),
  { nil: undefined },
);

interface Codec {
  encode(message: never): { finish(): Uint8Array };
}
const samples: [string, Codec, fc.Arbitrary<object>][] = [
  [
    'inventory.v1.ReserveStockRequest',
    ReserveStockRequest,
    fc.record({
      requestId: texts,
      reservationId: texts,
      lines,
      ttl: fc.option(
        fc.record({ seconds: fc.constantFrom(-1n, 0n, 1n, 604_800n, 604_801n), nanos: fc.constantFrom(0, 1) }),
        { nil: undefined },
      ),
      attributes,
    }),
  ],
  [
    'inventory.v1.AdjustStockRequest',
    AdjustStockRequest,
    fc.record({ requestId: texts, productId: texts, delta: counts, reason: texts }),
  ],
  [
    'orders.v1.PlaceOrderRequest',
    PlaceOrderRequest,
    fc.record({
      requestId: texts,
      orderId: texts,
      customerId: texts,
      country: texts,
      lines,
      paymentMethod: fc.option(fc.record({ method: way }), { nil: undefined }),
      reference: texts,
      attributes,
    }),
  ],
  [
    'orders.v1.ListOrdersRequest',
    ListOrdersRequest,
    fc.record({
      customerId: texts,
      status: fc.integer({ min: -1, max: 9 }),
      pageSize: fc.constantFrom(-1, 0, 1, 100, 101),
      pageToken: texts,
      orderBy: texts,
      readMask: fc.constant(undefined),
    }),
  ],
  [
    'customers.v1.RegisterCustomerRequest',
    RegisterCustomerRequest,
    fc.record({
      requestId: texts,
      customerId: texts,
      displayName: texts,
      email: fc.constantFrom('', 'x@y.zz'),
      country: texts,
    }),
  ],
  [
    'payments.v1.CreatePaymentRequest',
    CreatePaymentRequest,
    fc.record({ requestId: texts, paymentId: texts, orderId: texts, customerId: texts, amount: money, method: way }),
  ],
];

describe('validation, compared with protovalidate', () => {
  const reference = createValidator({ registry });

  test.each(samples)('%s', (name, codec, arbitrary) => {
    const descriptor: DescMessage = type(name);
    fc.assert(
      fc.property(arbitrary, (message) => {
        const bytes = codec.encode(message as never).finish();
        const decoded = reference.validate(descriptor, fromBinary(descriptor, bytes));
        expect(decoded.kind).not.toBe('error');
        const expected = (decoded.violations ?? []).map(({ field }) => pathToString(field));
        const found = fieldsOf(name, message);
        // Both refuse an undefined enum number. Each may report it once per rule.
        expect([...new Set(found)].sort()).toEqual([...new Set(expected)].sort());
      }),
      { numRuns: 250 },
    );
  });
});
