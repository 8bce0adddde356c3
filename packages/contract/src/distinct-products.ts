/** Lines of a request: one a product. */
import { CaudalError, type FieldViolation } from '@caudal/kernel/errors.ts';

/** Throws INVALID_ARGUMENT PRODUCT_TWICE, which names every line of this field whose product is in an earlier one. */
export function assertDistinctProducts(lines: readonly { productId: string }[], field = 'lines'): void {
  const seen = new Set<string>();
  const violations: FieldViolation[] = [];
  for (const [index, { productId }] of lines.entries()) {
    if (seen.has(productId)) {
      const description = 'is in an earlier line already: add the quantities up';
      violations.push({ field: `${field}[${index}].product_id`, description });
    }
    seen.add(productId);
  }
  if (violations.length > 0)
    throw new CaudalError('INVALID_ARGUMENT', 'PRODUCT_TWICE', 'A product is in two lines.', { violations });
}
