/** A product as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import type { ProductState } from './domain/product.ts';

/** The product from the log: without the number of available pieces, which only the search has. */
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
