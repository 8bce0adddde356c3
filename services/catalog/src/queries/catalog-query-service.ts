/** Finds products: caudal.catalog.v1.CatalogQueryService. */
import { viewEtag } from '@caudal/context/etag.ts';
import type { Interest } from '@caudal/context/interest.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { SearchReader } from '@caudal/context/view-reader.ts';
import { product } from '@caudal/contract/entities.ts';
import {
  CatalogQueryServiceService,
  type Product,
  type SearchProductsRequest,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { invalidField, notFound } from '@caudal/kernel/errors.ts';
import { keyedDigest } from '@caudal/kernel/sealed-token.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { isListed } from '../projections/product-search.ts';

/** What a match in each field counts. */
const fields = { article: 4, title: 4, category_words: 2, description: 1 };

export function catalogQueryService({ products, interest }: { products: SearchReader<Product>; interest: Interest }) {
  return service(CatalogQueryServiceService, {
    async getProduct({ productId }, call) {
      const stored = await products.get(productId, call);
      if (!stored || !isListed(stored.view)) throw notFound('product', productId);
      interest.saw(productId);
      return message(stored);
    },

    async getProductInterest({ productId }, call) {
      const stored = await products.get(productId, call);
      if (!stored || !isListed(stored.view)) throw notFound('product', productId);
      return { productId, reads: BigInt(await interest.of(productId)) };
    },

    async searchProducts(request, call) {
      const page = await products.search(
        {
          text: request.query,
          fields,
          where: conditions(request),
          facets: ['category'],
          ...order(request),
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      const { values: categories, more } = page.facets.category!;
      return {
        products: page.views.map(message),
        nextPageToken: page.nextPageToken,
        totalSize: BigInt(page.total),
        categories: categories.map(({ value, count }) => ({ category: value, count: BigInt(count) })),
        moreCategories: more,
        forgiven: page.forgiven,
      };
    },
  });
}

/** Refused: INVALID_ARGUMENT, if prices are compared without a currency. */
function conditions(request: SearchProductsRequest): Condition[] {
  const { categories, currency, minPrice, maxPrice, availableOnly } = request;
  if (minPrice !== undefined && maxPrice !== undefined && minPrice > maxPrice) {
    throw invalidField('min_price', 'must not be above max_price');
  }
  const where: Condition[] = [{ key: 'on_sale', equals: true }];
  if (categories.length > 0) where.push({ key: 'category', in: categories });
  if (currency) where.push({ key: 'currency', equals: currency });
  if (minPrice !== undefined || maxPrice !== undefined) {
    if (!currency) throw invalidField('currency', 'must be given with min_price or max_price');
    where.push({ key: 'price', atLeast: minPrice, atMost: maxPrice });
  }
  if (availableOnly) where.push({ key: 'in_stock', equals: true });
  return where;
}

const orders: ListOrders = {
  relevance: [],
  price: [{ key: 'price' }],
  'price desc': [{ key: 'price', descending: true }],
  create_time: [{ key: 'create_time' }],
  'create_time desc': [{ key: 'create_time', descending: true }],
};

/** Refused: INVALID_ARGUMENT, for another order, and for one by price without a currency. */
function order({ orderBy, currency }: SearchProductsRequest): ReturnType<typeof listOrder> {
  const known = listOrder(orderBy, orders);
  if (known.order.startsWith('price') && !currency)
    throw invalidField('currency', 'must be given with an order by price');
  return known;
}

/** The version of a product's stock counts its sales, so its digest is keyed. */
function message(stored: StoredView<Product>): Product {
  return { ...stored.view, etag: viewEtag(stored, product.stream(stored.id), keyedDigest) };
}
