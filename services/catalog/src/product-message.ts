/** A product as the contract spells it. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import type { ProductState } from './domain/product.ts';

/** The product as the log has it: without what is available, which only the search knows. */
export function productMessage(state: ProductState, version: number): Product {
  const { productId, texts, price, discontinued, createTime, updateTime } = state;
  return {
    productId,
    ...texts,
    price,
    discontinued,
    available: 0n,
    createTime,
    updateTime,
    etag: commandEtag(version),
  };
}
