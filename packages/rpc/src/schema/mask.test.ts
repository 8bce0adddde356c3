import { contract } from '@caudal/contract/descriptors.ts';
import { describe, expect, test } from '@jest/globals';
import { order } from '../testing/fixture.ts';
import { applyMask, maskJson, readMask } from './mask.ts';

const method = (path: string) => contract().method(`/caudal.${path}`);
const { request, response } = method('orders.v1.OrderQueryService/GetOrder');
const mask = (...paths: string[]) => readMask(request, response)!({ readMask: paths })!;

describe('a read mask', () => {
  test('that is absent, empty or * keeps everything', () => {
    const read = readMask(request, response)!;
    for (const readMaskOf of [undefined, [], ['*'], ['order_id', '*']])
      expect(read({ readMask: readMaskOf })).toBeUndefined();
    const place = method('orders.v1.OrderService/PlaceOrder');
    expect(readMask(place.request, place.response)).toBeUndefined();
  });

  test('is taken by every query for a resource, or for a list of them', () => {
    const reads = contract()
      .methods()
      .filter(({ name, path }) => /^\/caudal\.(?!probe)/.test(path) && /^(?:Get|List|Search)[A-Z]/.test(name))
      .filter(({ access }) => !access.internal);
    expect(reads.filter(({ request, response }) => !readMask(request, response)).map(({ path }) => path)).toEqual([]);
    expect(reads.length).toBeGreaterThan(10);
  });

  test('does not change the message that it is applied to', () => {
    const whole = order();
    const masked = applyMask(response, whole as never, mask('lines.title'));
    expect(masked).toMatchObject({
      orderId: '',
      status: 0,
      createTime: undefined,
      lines: [{ title: 'Mug', quantity: 0n }],
    });
    expect(whole).toEqual(order());
  });

  test('keeps all of a message that it names, even if it also names a part of it', () => {
    for (const paths of [
      ['total', 'total.currency'],
      ['total.currency', 'total'],
    ]) {
      expect(applyMask(response, order() as never, mask(...paths)).total).toEqual(order().total);
    }
  });

  test('keeps absent fields absent', () => {
    expect(applyMask(response, order() as never, mask('payment.amount.currency')).payment).toBeUndefined();
  });

  test.each(['nope', 'total.nope', 'order_id.x', 'create_time.seconds', 'orderId', ''])(
    'does not take "%s"',
    (path) => {
      expect(() => mask(path)).toThrow('read_mask names');
    },
  );

  test('in a list applies to each resource, and keeps the rest of the page', () => {
    const search = method('catalog.v1.CatalogQueryService/SearchProducts');
    const kept = readMask(search.request, search.response)!({ readMask: ['product_id', 'price.currency'] })!;
    const page = {
      products: [{ productId: 'a', title: 'A', price: { minorUnits: '1', currency: 'GBP' } }],
      nextPageToken: 'n',
      totalSize: '1',
      categories: [{ category: 'x', count: '1' }],
    };
    expect(maskJson(search.response, page, kept)).toEqual({
      ...page,
      products: [{ productId: 'a', price: { currency: 'GBP' } }],
    });
  });
});
