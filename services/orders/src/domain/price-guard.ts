/** The price guard: an order is placed only at the prices that its buyer has seen, if the buyer says which. See docs/returns.md. */
import type { OrderLine } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { type FieldViolation, refused } from '@caudal/kernel/errors.ts';

/** The prices that the buyer has seen; none if the buyer does not say. */
export interface ExpectedPrices {
  total: Money | undefined;
  /** By product. */
  unitPrices: ReadonlyMap<string, Money>;
}

export const nothingExpected: ExpectedPrices = { total: undefined, unitPrices: new Map() };

/** The most products that an entry of the metadata names. */
const mostNamed = 20;

/** Throws FAILED_PRECONDITION PRICE_CHANGED if a price is another one than the buyer has seen. */
export function assertExpected(lines: OrderLine[], total: Money, expected: ExpectedPrices): void {
  const violations: FieldViolation[] = [];
  const changed: string[] = [];
  lines.forEach(({ productId, unitPrice }, index) => {
    const seen = expected.unitPrices.get(productId);
    if (!seen || isSame(seen, unitPrice!)) return;
    changed.push(productId);
    violations.push({ field: `lines[${index}].expected_unit_price`, description: isNow(unitPrice!, seen) });
  });
  if (expected.total && !isSame(expected.total, total)) {
    violations.push({ field: 'expected_total', description: isNow(total, expected.total) });
  }
  if (violations.length === 0) return;
  throw refused('PRICE_CHANGED', 'Prices have changed since the buyer saw them, so nothing is ordered.', {
    violations,
    metadata: {
      total: String(total.minorUnits),
      currency: total.currency,
      ...(expected.total && {
        expected_total: String(expected.total.minorUnits),
        expected_currency: expected.total.currency,
      }),
      ...(changed.length > 0 && { changed_product_ids: changed.slice(0, mostNamed).join(',') }),
      unit_prices: lines
        .slice(0, mostNamed)
        .map(({ productId, unitPrice }) => `${productId}=${unitPrice!.minorUnits}`)
        .join(','),
    },
  });
}

function isSame(one: Money, other: Money): boolean {
  return one.minorUnits === other.minorUnits && one.currency === other.currency;
}

function isNow({ minorUnits, currency }: Money, seen: Money): string {
  return `is ${minorUnits} minor units of ${currency} now, not ${seen.minorUnits} of ${seen.currency}`;
}
