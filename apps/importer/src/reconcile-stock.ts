/**
 * Checks of the stock: opening stock, sold and remaining pieces. Nothing oversold, nothing lost, nothing promised for
 * ever.
 */
import { type Check, compare, none } from './checks.ts';
import type { Correction, PlannedLine } from './plan.ts';
import { isSold, type Source, sum, sumBy, type TalliedOrder } from './tally.ts';

interface ProductStock {
  productId: string;
  /** Stock before the import + opening stock + applied corrections. Undefined: unknown. */
  there: bigint | undefined;
  /** Pieces in delivered orders. */
  sold: bigint;
  onHand: bigint | undefined;
  reserved: bigint;
}

/** The checks of the stock. */
export function reconcileStock(source: Source, orders: TalliedOrder[]): Check[] {
  const products = productsOf(source, orders);
  const known = products.filter(({ there }) => there !== undefined);
  const expected = ({ there, sold }: ProductStock) => there! - sold;
  const say = (product: ProductStock) =>
    `${product.productId}: ${product.onHand ?? 'no'} on hand, ${product.reserved} reserved, ${product.sold} sold of ${product.there ?? '?'}`;
  return [
    compare(
      'pieces on hand = opening stock + corrections - sold',
      sum(known, expected),
      sum(known, ({ onHand }) => onHand ?? 0n),
    ),
    none(
      'products with a different number on hand',
      known.filter((product) => product.onHand !== expected(product)).map(say),
    ),
    none('products without stock', products.filter(({ onHand }) => onHand === undefined).map(say)),
    none('products with pieces still reserved', products.filter(({ reserved }) => reserved !== 0n).map(say)),
    none('products with fewer than 0 pieces on hand', products.filter(({ onHand = 0n }) => onHand < 0n).map(say)),
    none('products oversold', known.filter(({ there, sold }) => sold > there!).map(say)),
    ...rejections(source, orders),
  ];
}

function productsOf({ plan, outcome, facts }: Source, orders: TalliedOrder[]): ProductStock[] {
  const sold = sumBy(
    orders.filter(isSold).flatMap(({ order }) => order!.lines),
    ({ productId }) => productId,
    ({ quantity }) => quantity,
  );
  const applied = sumBy(
    plan.corrections.filter(({ number }) => outcome.corrections.get(number)?.end === 'applied'),
    ({ productId }) => productId,
    ({ delta }) => delta,
  );
  return [...plan.products].map(([productId, { openingStock }]) => {
    const before = outcome.stockBefore.get(productId);
    const item = facts.stock.get(productId);
    return {
      productId,
      there: before === undefined ? undefined : before + openingStock + (applied.get(productId) ?? 0n),
      sold: sold.get(productId) ?? 0n,
      onHand: item?.onHand,
      reserved: item?.reserved ?? 0n,
    };
  });
}

/**
 * Which of several orders gets the last piece depends on timing. Two things do not: a line of more pieces than can ever
 * be in stock is rejected, and no line is rejected if there are enough pieces for all.
 */
function rejections({ plan, outcome }: Source, orders: TalliedOrder[]): Check[] {
  const opening = (productId: string) =>
    (outcome.stockBefore.get(productId) ?? 0n) + plan.products.get(productId)!.openingStock;
  const byProduct = (corrections: Correction[]) =>
    sumBy(
      corrections,
      ({ productId }) => productId,
      ({ delta }) => delta,
    );
  const found = byProduct(plan.corrections.filter(({ delta }) => delta > 0n));
  const lost = byProduct(
    plan.corrections.filter(({ delta, number }) => delta < 0n && outcome.corrections.get(number)?.end === 'applied'),
  );
  const demand = sumBy(
    plan.orders.flatMap(({ lines }) => lines),
    ({ productId }) => productId,
    ({ quantity }) => quantity,
  );

  const impossible = ({ productId, quantity }: PlannedLine) =>
    quantity > opening(productId) + (found.get(productId) ?? 0n);
  const contended = ({ productId }: PlannedLine) =>
    demand.get(productId)! > opening(productId) + (lost.get(productId) ?? 0n);
  const hopeless = orders.filter(({ planned }) => planned.lines.some(impossible));
  const rejected = orders.filter(({ end }) => end === 'rejected');
  return [
    compare(
      'orders of more pieces than can ever be in stock, rejected',
      hopeless.length,
      hopeless.filter(({ end }) => end === 'rejected').length,
    ),
    none(
      'orders rejected although there were enough pieces for all',
      rejected.filter(({ planned }) => !planned.lines.some(contended)).map(({ planned }) => planned.reference),
    ),
  ];
}
