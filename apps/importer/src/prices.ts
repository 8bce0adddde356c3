/**
 * Sets prices in the catalogue: an order pays the price that the catalogue has when it is placed. Before an order is
 * placed, its prices are set and its products are locked, so orders at other prices of the same products wait.
 */
import type { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { keyedQueue } from '@caudal/kernel/concurrency.ts';
import { derivedId, newId } from '@caudal/kernel/ids.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { CURRENCY, type PlannedLine, type PlannedOrder } from './plan.ts';

export interface Prices {
  /** Records the price that the catalogue has. */
  know(productId: string, price: bigint): void;
  /** Sets those of the lines' prices that differ, and locks the products while `work` runs. */
  holding<T>(lines: PlannedLine[], work: () => Promise<T>): Promise<T>;
}

/** The prices of the products that these orders buy. */
export function createPrices(orders: PlannedOrder[], catalog: Client<CatalogServiceService>): Prices {
  const inTurn = keyedQueue();
  const varying = varyingProducts(orders);
  const known = new Map<string, bigint>();
  // A new id per run: with the import's id a command of an earlier run would be a repeat, which is answered but not
  // done again, although the price has changed since. Setting the present price changes nothing, so a new id is safe.
  const run = newId();
  let changes = 0;

  const set = async ({ productId, unitPrice }: PlannedLine) => {
    if (known.get(productId) === unitPrice) return;
    known.delete(productId);
    const requestId = derivedId(run, 'set-price', ++changes);
    const price = { minorUnits: unitPrice, currency: CURRENCY };
    await catalog.setPrice({ requestId, productId, etag: '', price });
    known.set(productId, unitPrice);
  };

  return {
    know(productId, price) {
      // An earlier run may have changed the prices that vary since, so they are unknown.
      if (!varying.has(productId)) known.set(productId, price);
    },
    holding(lines, work) {
      const held = lines.map(({ productId }) => productId).filter((productId) => varying.has(productId));
      // Locked in sorted order, so two orders can't wait for each other.
      const all = held.sort().reduceRight(
        (inner, productId) => () => inTurn(productId, inner),
        async () => {
          // Await all, even if one fails: none may land after another order has locked the product.
          const failed = (await Promise.allSettled(lines.map(set))).find(({ status }) => status === 'rejected');
          if (failed) throw (failed as PromiseRejectedResult).reason;
          return await work();
        },
      );
      return all();
    },
  };
}

/** Products that are sold at more than one price. Only these need a lock. */
function varyingProducts(orders: PlannedOrder[]): Set<string> {
  const first = new Map<string, bigint>();
  const varying = new Set<string>();
  for (const { productId, unitPrice } of orders.flatMap(({ lines }) => lines)) {
    const before = first.get(productId) ?? unitPrice;
    first.set(productId, before);
    if (before !== unitPrice) varying.add(productId);
  }
  return varying;
}
