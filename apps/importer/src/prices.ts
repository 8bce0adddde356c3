/**
 * Prices go through the catalogue: an order pays what the catalogue says when it is placed. Whoever needs a price sets it
 * and keeps the product until the order is placed, so that orders at other prices of the same product wait meanwhile.
 */
import type { CatalogServiceService } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { keyedQueue } from '@caudal/kernel/concurrency.ts';
import { derivedId, newId } from '@caudal/kernel/ids.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { CURRENCY, type PlannedLine, type PlannedOrder } from './plan.ts';

export interface Prices {
  /** Notes what the catalogue has. */
  know(productId: string, price: bigint): void;
  /** Sets the lines' prices as far as they differ, and holds them while `work` runs. */
  holding<T>(lines: PlannedLine[], work: () => Promise<T>): Promise<T>;
}

/** The prices of the products that these orders buy. */
export function createPrices(orders: PlannedOrder[], catalog: Client<CatalogServiceService>): Prices {
  const inTurn = keyedQueue();
  const varying = varyingProducts(orders);
  const known = new Map<string, bigint>();
  // Not the import's own id: a command of an earlier run, repeated, would be answered without being done again, although
  // the price has been changed since. Setting a price that is set already does nothing, so a new id does no harm.
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
      // An earlier run of the import may have changed it since: of those that it changes, nothing is known.
      if (!varying.has(productId)) known.set(productId, price);
    },
    holding(lines, work) {
      const held = lines.map(({ productId }) => productId).filter((productId) => varying.has(productId));
      // Always taken in the same order: two orders can't wait for each other.
      const all = held.sort().reduceRight(
        (inner, productId) => () => inTurn(productId, inner),
        async () => {
          // All of them are awaited, even if one fails: none may land when the product is somebody else's.
          const failed = (await Promise.allSettled(lines.map(set))).find(({ status }) => status === 'rejected');
          if (failed) throw (failed as PromiseRejectedResult).reason;
          return await work();
        },
      );
      return all();
    },
  };
}

/** Products that are sold at more than one price. Only these need to be held. */
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
