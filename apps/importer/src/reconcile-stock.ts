/** The pieces: what there was, what was sold, what is left. Nothing oversold, nothing lost, nothing promised for ever. */
import { type Check, compare, none } from './checks.ts';
import type { Correction, PlannedLine } from './plan.ts';
import { isSold, type Source, sum, sumBy, type TalliedOrder } from './tally.ts';

interface ProductStock {
  productId: string;
  /** Before the import and its opening stock, and what corrections that were applied added or took. Undefined: unknown. */
  there: bigint | undefined;
  /** In delivered orders. */
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
      'products with another number on hand than that',
      known.filter((product) => product.onHand !== expected(product)).map(say),
    ),
    none('products without stock', products.filter(({ onHand }) => onHand === undefined).map(say)),
    none('products with pieces still reserved', products.filter(({ reserved }) => reserved !== 0n).map(say)),
    none('products with less than nothing on hand', products.filter(({ onHand = 0n }) => onHand < 0n).map(say)),
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
 * Which of several orders gets the last piece depends on who comes first. Two things do not: a line of more pieces than
 * there can ever be is rejected, and nothing is rejected of which there is enough for all.
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
      'orders of more pieces than there can ever be, rejected',
      hopeless.length,
      hopeless.filter(({ end }) => end === 'rejected').length,
    ),
    none(
      'orders rejected although there was enough for all',
      rejected.filter(({ planned }) => !planned.lines.some(contended)).map(({ planned }) => planned.reference),
    ),
  ];
}
