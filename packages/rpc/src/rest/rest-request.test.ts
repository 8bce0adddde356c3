import { contract } from '@caudal/contract/descriptors.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { expect, test } from '@jest/globals';
import { requestJson } from './rest-request.ts';

const { request } = contract().method(OrderQueryServiceService.getOrder.path);
const parts = { params: { order_id: 'o-1' }, query: new URLSearchParams(), body: undefined, ifMatch: undefined };

// No route of the present contract shows this over HTTP: fastify reads no body of a GET.
test('a body for a method without one', () => {
  expect(requestJson(request, false, parts)).toEqual({ orderId: 'o-1' });
  expect(() => requestJson(request, false, { ...parts, body: {} })).toThrow('body must be absent');
});

test('more parameters than any request has', () => {
  const query = new URLSearchParams('readMask=orderId&'.repeat(201));
  expect(() => requestJson(request, false, { ...parts, query })).toThrow('read_mask is given twice (and more)');
  const { request: search } = contract()
    .methods()
    .find(({ path }) => path.endsWith('/SearchProducts'))!;
  const categories = new URLSearchParams('categories=things&'.repeat(201));
  expect(() => requestJson(search, false, { ...parts, params: {}, query: categories })).toThrow(
    'categories comes after 200 parameters',
  );
});
