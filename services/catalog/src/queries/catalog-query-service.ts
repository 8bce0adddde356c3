/** Finds products: caudal.catalog.v1.CatalogQueryService. */
import { viewEtag } from '@caudal/context/etag.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { SearchReader } from '@caudal/context/view-reader.ts';
import { product } from '@caudal/contract/entities.ts';
import {
  CatalogQueryServiceService,
  type Product,
  type SearchProductsRequest,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { invalidField, notFound } from '@caudal/kernel/errors.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { isListed } from '../projections/product-search.ts';

/** Weights: a match in the title counts most. */
const fields = { title: 4, category_words: 2, description: 1 };

export function catalogQueryService({ products }: { products: SearchReader<Product> }) {
  return service(CatalogQueryServiceService, {
    async getProduct({ productId }, call) {
      const stored = await products.get(productId, call);
      if (!stored || !isListed(stored.view)) throw notFound('product', productId);
      return message(stored);
    },

    async searchProducts(request, call) {
      const page = await products.search(
        {
          text: request.query,
          fields,
          where: conditions(request),
          facets: ['category'],
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      const categories = page.facets.category ?? [];
      return {
        products: page.views.map(message),
        nextPageToken: page.nextPageToken,
        totalSize: BigInt(page.total),
        categories: categories.map(({ value, count }) => ({ category: value, count: BigInt(count) })),
      };
    },
  });
}

function conditions({ categories, minPrice, maxPrice, availableOnly }: SearchProductsRequest): Condition[] {
  if (minPrice !== undefined && maxPrice !== undefined && minPrice > maxPrice) {
    throw invalidField('min_price', 'must not be above max_price');
  }
  const where: Condition[] = [{ key: 'on_sale', equals: true }];
  if (categories.length > 0) where.push({ key: 'category', in: categories });
  if (minPrice !== undefined || maxPrice !== undefined)
    where.push({ key: 'price', atLeast: minPrice, atMost: maxPrice });
  if (availableOnly) where.push({ key: 'in_stock', equals: true });
  return where;
}

function message(stored: StoredView<Product>): Product {
  return { ...stored.view, etag: viewEtag(stored, product.stream(stored.id)) };
}
