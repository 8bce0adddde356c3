/** What the catalogue says of products now, from its views. It never holds a cart up: what can't be read is absent. */
import { quantityOf } from '@caudal/carts/cart.ts';
import { productOf } from '@caudal/carts/line-key.ts';
import type { CatalogQueryServiceService, Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Call, Client } from '@caudal/rpc/types.ts';
import type { StoredCart } from './domain/stored-cart.ts';

/** `unknown`: there is no such product. */
export type Looked = Product | 'unknown';

export interface Products {
  /** The products that could be read, by id. */
  now(productIds: string[], call: Pick<Call, 'origin' | 'signal' | 'deadline'>): Promise<Map<string, Looked>>;
}

const mostProducts = 200;
const together = 8;
const timeoutMs = 1_500;
/** What a process remembers, and for how long. */
const mostKept = 5_000;
const keptMs = 5_000;

export function openProducts(options: { catalog: Client<CatalogQueryServiceService>; clock: Clock }): Products {
  const { catalog, clock } = options;
  const kept = new Map<string, { product: Looked; untilMs: number }>();

  async function look(productId: string, call: Pick<Call, 'origin' | 'signal'>): Promise<Looked | undefined> {
    const { origin, signal } = call;
    try {
      return await catalog.getProduct({ productId, readMask: undefined }, { origin, signal, timeoutMs });
    } catch (error) {
      return isCode(error, 'NOT_FOUND') ? 'unknown' : undefined;
    }
  }

  function keep(productId: string, product: Looked): void {
    kept.delete(productId);
    kept.set(productId, { product, untilMs: clock().getTime() + keptMs });
    if (kept.size > mostKept) kept.delete(kept.keys().next().value!);
  }

  return {
    async now(productIds, call) {
      const found = new Map<string, Looked>();
      const giveUpAt = Date.now() + timeoutMs;
      await forEachConcurrent(new Set(productIds.slice(0, mostProducts)), together, async (productId) => {
        const known = kept.get(productId);
        if (known && known.untilMs > clock().getTime()) return void found.set(productId, known.product);
        if (Date.now() > giveUpAt) return;
        const product = await look(productId, call);
        if (!product) return;
        keep(productId, product);
        found.set(productId, product);
      });
      return found;
    },
  };
}

/**
 * Keeps the prices that lines have when they come into the cart. One that was ordered or removed and comes again is seen for the first
 * time: what it cost long ago is no promise.
 */
export function withPrices(
  before: StoredCart,
  after: StoredCart,
  lines: string[],
  found: ReadonlyMap<string, Looked>,
): StoredCart {
  const prices = new Map(after.prices);
  let isChanged = false;
  for (const key of lines) {
    const isThere = quantityOf(after.cart.lines.get(key)) > 0;
    if (!isThere || quantityOf(before.cart.lines.get(key)) === 0) isChanged = prices.delete(key) || isChanged;
    const product = found.get(productOf(key));
    if (!isThere || prices.has(key) || !product || product === 'unknown' || !product.price) continue;
    const { minorUnits, currency } = product.price;
    prices.set(key, { minorUnits: String(minorUnits), currency });
    isChanged = true;
  }
  return isChanged ? { ...after, prices } : after;
}
