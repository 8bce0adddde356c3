/** Product search: products with the number of pieces that their latest stock event says are available. */
import { type EventOf, product, stock } from '@caudal/contract/entities.ts';
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { ProductEvent } from '../domain/product.ts';

const blank = Product.fromPartial({});

/**
 * Product and stock have one stream each, and either may come first: each changes only its own fields. Stock without a
 * product makes a view that is not `listed`.
 */
export const productSearch: Projection<Product> = {
  name: 'product-search',
  version: 2,
  parts: 4,
  codec: Product,
  follows: [
    on<Product, ProductEvent>(product, {
      view: ({ id }) => id,
      evolve(view = blank, { event, at }) {
        const changed = change(event, at);
        return changed === ignored ? ignored : { ...view, ...changed, updateTime: at };
      },
    }),
    on<Product, EventOf<typeof stock>>(stock, {
      view: ({ id }) => id,
      evolve(view = blank, { event }) {
        switch (event.$case) {
          case 'created':
          case 'restocked':
          case 'adjusted':
          case 'reserved':
          case 'committed':
          case 'released':
          case 'expired':
          case 'returned':
            return { ...view, available: event.value.available };
          case 'barred':
            return view;
          default:
            return ignoreUnknown(event);
        }
      },
    }),
  ],
  keys: {
    article: { type: 'text', short: true, of: (view) => view.productId },
    title: { type: 'text', short: true, of: (view) => view.title },
    description: { type: 'text', of: (view) => view.description },
    category_words: { type: 'text', short: true, of: (view) => view.category },
    category: { type: 'keyword', of: (view) => view.category },
    currency: { type: 'keyword', of: (view) => view.price?.currency },
    price: { type: 'long', of: (view) => view.price?.minorUnits },
    create_time: { type: 'timestamp', of: (view) => view.createTime },
    available: { type: 'long', of: (view) => view.available },
    in_stock: { type: 'boolean', of: (view) => view.available > 0n },
    on_sale: { type: 'boolean', of: (view) => isListed(view) && !view.discontinued },
  },
  indexes: [
    ['on_sale', 'category'],
    ['on_sale', 'currency', 'price'],
  ],
};

/** Whether the product is in the catalogue: a view may have stock alone. */
export function isListed(view: Product): boolean {
  return view.createTime !== undefined;
}

function change(event: ProductEvent, at: Date): Partial<Product> | typeof ignored {
  switch (event.$case) {
    case 'created':
      return { ...event.value, createTime: at };
    case 'updated':
      return event.value;
    case 'priceSet':
      return { price: event.value.price };
    case 'discontinued':
      return { discontinued: true };
    case 'relisted':
      return { discontinued: false };
    default:
      return ignoreUnknown(event);
  }
}
