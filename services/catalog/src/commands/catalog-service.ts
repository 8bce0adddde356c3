/** Changes the catalogue, and prices orders: caudal.catalog.v1.CatalogService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { checkEtag } from '@caudal/context/etag.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import {
  CatalogServiceService,
  Product,
  type UpdateProductRequest,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import {
  createProduct,
  discontinue,
  type ProductEvent,
  type ProductState,
  productDecider,
  relist,
  setPrice,
  type Texts,
  updateTexts,
} from '../domain/product.ts';
import { productMessage } from '../product-message.ts';

const textFields = ['title', 'description', 'category'] as const;

export function catalogService({ aggregates }: { aggregates: Aggregates }) {
  return service(CatalogServiceService, {
    createProduct: ({ productId, title, description, category, price }, call) =>
      change(productId, '', call, (state) => createProduct(state, { productId, title, description, category, price })),
    async updateProduct(request, call) {
      const changed = changedTexts(request);
      return change(request.productId, request.etag, call, (state) => updateTexts(state, request.productId, changed));
    },
    setPrice: ({ productId, etag, price }, call) =>
      change(productId, etag, call, (state) => setPrice(state, productId, price!)),
    discontinueProduct: ({ productId, etag }, call) =>
      change(productId, etag, call, (state) => discontinue(state, productId)),
    relistProduct: ({ productId, etag }, call) => change(productId, etag, call, (state) => relist(state, productId)),

    async batchGetProducts({ productIds }) {
      const found = await Promise.all(productIds.map((id) => aggregates.load(productDecider, id)));
      const products = found.filter(({ version }) => version > 0);
      return {
        products: products.map(({ state, version }) => ({ ...productMessage(state, version), description: '' })),
      };
    },
  });

  function change(
    productId: string,
    etag: string,
    call: Call,
    decide: (state: ProductState) => ProductEvent[],
  ): Promise<Product> {
    return executeFor(call, aggregates, {
      decider: productDecider,
      id: productId,
      decide(state, { version }) {
        // Without a product the answer is NOT_FOUND, whatever the etag.
        if (version > 0) checkEtag(etag, version);
        return decide(state);
      },
      reply: ({ state, version }) => productMessage(state, version),
      replyCodec: Product,
    });
  }
}

/** The texts that the request sets: the fields of its mask, empty if absent; or without a mask those that are present. */
function changedTexts(request: UpdateProductRequest): Partial<Texts> {
  // A mask without a path is no mask (AIP-134).
  const paths = request.updateMask?.length ? request.updateMask : undefined;
  const masked = paths?.includes('*') ? textFields : paths;
  const unknown = masked?.find((path) => !textFields.some((field) => field === path));
  if (unknown !== undefined) throw invalidField('update_mask', `"${unknown}" is none of ${textFields.join(', ')}`);
  const names = textFields.filter((field) =>
    masked ? masked.some((path) => path === field) : request[field] !== undefined,
  );
  return Object.fromEntries(names.map((name) => [name, request[name] ?? '']));
}
