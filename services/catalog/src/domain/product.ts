/** A product: its texts, its price, and whether it is on sale. */
import type { Decider } from '@caudal/aggregates/types.ts';
import { isCurrency } from '@caudal/contract/currencies.ts';
import { type EventOf, product } from '@caudal/contract/entities.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';

export type ProductEvent = EventOf<typeof product>;

/** The texts of a product that buyers read. */
export interface Texts {
  title: string;
  description: string;
  category: string;
}

export interface ProductState {
  /** Empty until the product is created. */
  productId: string;
  texts: Texts;
  price: Money | undefined;
  discontinued: boolean;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export const productDecider: Decider<ProductState, ProductEvent> = {
  entity: product,
  initial: {
    productId: '',
    texts: { title: '', description: '', category: '' },
    price: undefined,
    discontinued: false,
    createTime: undefined,
    updateTime: undefined,
  },
  evolve(state, event, at) {
    const now = { ...state, updateTime: at };
    switch (event.$case) {
      case 'created': {
        const { productId, ...texts } = event.value;
        return { ...now, productId, texts, createTime: at };
      }
      case 'updated':
        return { ...now, texts: event.value };
      case 'priceSet':
        return { ...now, price: event.value.price };
      case 'discontinued':
        return { ...now, discontinued: true };
      case 'relisted':
        return { ...now, discontinued: false };
    }
  },
};

/** Adds a product. Refused: ALREADY_EXISTS PRODUCT_EXISTS; INVALID_ARGUMENT (a price below zero). */
export function createProduct(
  state: ProductState,
  { productId, price, ...texts }: Texts & { productId: string; price: Money | undefined },
): ProductEvent[] {
  if (state.productId !== '') {
    throw new CaudalError('ALREADY_EXISTS', 'PRODUCT_EXISTS', `There is a product "${productId}" already.`);
  }
  const created: ProductEvent = { $case: 'created', value: { productId, ...texts } };
  return price ? [created, priceSet(price)] : [created];
}

/** Changes some of the texts. Refused: NOT_FOUND; INVALID_ARGUMENT (an empty or blank title). */
export function updateTexts(state: ProductState, productId: string, changed: Partial<Texts>): ProductEvent[] {
  mustExist(state, productId);
  const texts = { ...state.texts, ...changed };
  if (changed.title?.trim() === '') throw invalidField('title', 'must not be empty or blank');
  const same = (Object.keys(texts) as (keyof Texts)[]).every((name) => texts[name] === state.texts[name]);
  return same ? [] : [{ $case: 'updated', value: texts }];
}

/** Sets the price. Refused: NOT_FOUND; INVALID_ARGUMENT (below zero, a currency that is not in use); FAILED_PRECONDITION PRODUCT_DISCONTINUED. */
export function setPrice(state: ProductState, productId: string, price: Money): ProductEvent[] {
  mustExist(state, productId);
  if (state.discontinued) throw refused('PRODUCT_DISCONTINUED', `"${productId}" is not sold any more.`);
  const same = state.price?.minorUnits === price.minorUnits && state.price.currency === price.currency;
  return same ? [] : [priceSet(price)];
}

/** Takes the product off sale, once. Refused: NOT_FOUND. */
export function discontinue(state: ProductState, productId: string): ProductEvent[] {
  mustExist(state, productId);
  return state.discontinued ? [] : [{ $case: 'discontinued', value: {} }];
}

/** Puts the product on sale again, at its last price. Refused: NOT_FOUND. */
export function relist(state: ProductState, productId: string): ProductEvent[] {
  mustExist(state, productId);
  return state.discontinued ? [{ $case: 'relisted', value: {} }] : [];
}

function priceSet(price: Money): ProductEvent {
  if (price.minorUnits < 0n) throw invalidField('price.minor_units', 'must not be below zero');
  // A currency is chosen only here and for a new wallet. Money that exists must move even if its currency is withdrawn.
  if (!isCurrency(price.currency))
    throw invalidField('price.currency', 'must be the code of a currency in use, of ISO 4217');
  return { $case: 'priceSet', value: { price } };
}

function mustExist(state: ProductState, productId: string): void {
  if (state.productId === '') throw notFound('product', productId);
}
