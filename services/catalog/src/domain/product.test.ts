import { given } from '@caudal/testing/given.ts';
import { describe, test } from '@jest/globals';
import {
  createProduct,
  discontinue,
  type ProductEvent,
  type ProductState,
  productDecider,
  relist,
  setPrice,
  updateTexts,
} from './product.ts';

const texts = { title: 'Mug', description: 'For tea', category: 'kitchen' };
const price = { minorUnits: 250n, currency: 'GBP' };
const created: ProductEvent = { $case: 'created', value: { productId: 'P1', ...texts } };
const priced: ProductEvent = { $case: 'priceSet', value: { price } };
const discontinued: ProductEvent = { $case: 'discontinued', value: {} };
const after = (...events: ProductEvent[]) => given(productDecider, events);

const pricing =
  (minorUnits: bigint, currency = 'GBP') =>
  (state: ProductState) =>
    setPrice(state, 'P1', { minorUnits, currency });

describe('a product', () => {
  test('is created once, with a price if there is one', () => {
    const creating = (withPrice?: typeof price) => (state: ProductState) =>
      createProduct(state, { productId: 'P1', ...texts, price: withPrice });
    after().when(creating()).gives([created]);
    after().when(creating(price)).gives([created, priced]);
    after()
      .when(creating({ minorUnits: -1n, currency: 'GBP' }))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created).when(creating()).refuses('ALREADY_EXISTS', 'PRODUCT_EXISTS');
  });

  test('changes the named texts, and always has a title', () => {
    const updating = (changed: Partial<typeof texts>) => (state: ProductState) => updateTexts(state, 'P1', changed);
    after(created)
      .when(updating({ title: 'Cup' }))
      .gives([{ $case: 'updated', value: { ...texts, title: 'Cup' } }]);
    after(created)
      .when(updating({ description: '' }))
      .gives([{ $case: 'updated', value: { ...texts, description: '' } }]);
    after(created)
      .when(updating({ title: 'Mug' }))
      .gives([]);
    for (const title of ['', '  ', '\u00a0'])
      after(created).when(updating({ title })).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after()
      .when(updating({ title: 'Cup' }))
      .refuses('NOT_FOUND', 'PRODUCT_NOT_FOUND');
  });

  test('has one price at a time, not below zero, while it is on sale', () => {
    after(created).when(pricing(250n)).gives([priced]);
    after(created)
      .when(pricing(0n))
      .gives([{ $case: 'priceSet', value: { price: { minorUnits: 0n, currency: 'GBP' } } }]);
    after(created, priced).when(pricing(250n)).gives([]);
    after(created, priced)
      .when(pricing(250n, 'EUR'))
      .gives([{ $case: 'priceSet', value: { price: { minorUnits: 250n, currency: 'EUR' } } }]);
    after(created).when(pricing(-1n)).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created, discontinued).when(pricing(250n)).refuses('FAILED_PRECONDITION', 'PRODUCT_DISCONTINUED');
    after().when(pricing(250n)).refuses('NOT_FOUND', 'PRODUCT_NOT_FOUND');
  });

  test('gets a price in a currency that is in use; one that has an earlier price is sold on', () => {
    for (const currency of ['BGN', 'ZZQ', 'XXX'])
      after(created).when(pricing(250n, currency)).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    const earlier: ProductEvent = {
      $case: 'priceSet',
      value: { price: { minorUnits: 250n, currency: 'BGN' } },
    };
    after(created, earlier).when(pricing(250n, 'BGN')).gives([]);
    after(created, earlier, discontinued)
      .when((state) => relist(state, 'P1'))
      .gives([{ $case: 'relisted', value: {} }]);
  });

  test('is taken off sale once', () => {
    const ending = (state: ProductState) => discontinue(state, 'P1');
    after(created).when(ending).gives([discontinued]);
    after(created, discontinued).when(ending).gives([]);
    after().when(ending).refuses('NOT_FOUND', 'PRODUCT_NOT_FOUND');
  });

  test('that is off sale is put on sale again, once, at its last price', () => {
    const relisted: ProductEvent = { $case: 'relisted', value: {} };
    const beginning = (state: ProductState) => relist(state, 'P1');
    after(created, discontinued).when(beginning).gives([relisted]);
    after(created, discontinued, relisted).when(beginning).gives([]);
    after(created, priced, discontinued, relisted).when(pricing(250n)).gives([]);
    after(created, discontinued, relisted).when(pricing(250n)).gives([priced]);
    after().when(beginning).refuses('NOT_FOUND', 'PRODUCT_NOT_FOUND');
  });
});
