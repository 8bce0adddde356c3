import { CaudalError } from '@caudal/kernel/errors.ts';
import { given } from '@caudal/testing/given.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { orderDecider, place } from './order.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });

/** Prices close to each other, so that totals agree by chance. */
const price = fc.bigInt(0n, 3n);
const product = fc.record({ quantity: fc.bigInt(1n, 3n), price, seen: fc.option(price, { nil: undefined }) });
const basket = fc.record({
  products: fc.array(product, { minLength: 1, maxLength: 30 }),
  seenTotal: fc.option(fc.constantFrom(-1n, 0n, 0n, 1n), { nil: undefined }),
});

test('an order is placed if, and only if, every price that its buyer has seen is the present one', () => {
  fc.assert(
    fc.property(basket, ({ products, seenTotal }) => {
      const lines = products.map(({ quantity, price: unit }, n) => ({
        ...{ productId: `P${n}`, quantity, unitPrice: gbp(unit), title: '' },
      }));
      const total = products.reduce((sum, one) => sum + one.quantity * one.price, 0n);
      const changed = products.flatMap(({ price: unit, seen }, n) => (seen === undefined || seen === unit ? [] : [n]));
      const isOther = seenTotal !== undefined && seenTotal !== 0n;
      const draft = {
        ...{ orderId: 'o1', customerId: 'c1', country: 'France', lines, reference: '', attributes: {} },
        paymentMethod: { method: { $case: 'walletId' as const, value: 'w1' } },
      };
      const expected = {
        total: seenTotal === undefined ? undefined : gbp(total + seenTotal),
        unitPrices: new Map(
          products.flatMap(({ seen }, n) => (seen === undefined ? [] : [[`P${n}`, gbp(seen)] as const])),
        ),
      };
      const decide = () => place(given(orderDecider, []).state, draft, expected);
      if (changed.length === 0 && !isOther) {
        expect(decide()).toMatchObject([{ $case: 'created', value: { total: gbp(total) } }]);
        return;
      }
      let error: unknown;
      try {
        decide();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(CaudalError);
      const { reason, violations, metadata } = error as CaudalError;
      expect(reason).toBe('PRICE_CHANGED');
      expect(violations.map(({ field }) => field)).toEqual([
        ...changed.map((n) => `lines[${n}].expected_unit_price`),
        ...(isOther ? ['expected_total'] : []),
      ]);
      expect(metadata.total).toBe(String(total));
      expect(metadata.unit_prices!.split(',').length).toBeLessThanOrEqual(20);
    }),
  );
});
