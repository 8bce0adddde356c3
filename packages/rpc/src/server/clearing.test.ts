/** Updates that clear a field: with a mask and without, over REST and gRPC, the handler gets the same. */
import {
  CatalogServiceService,
  Product,
  UpdateProductRequest,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import {
  Customer,
  CustomerServiceService,
  UpdateCustomerRequest,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { start, stopAll, token } from '../testing/fixture.ts';
import { type Handlers, service } from '../types.ts';

let server: Awaited<ReturnType<typeof start>>;
let seen: object | undefined;
const permissions = ['customers.customers.write:any', 'catalog.products.write'];
const auth = () => token('shop', permissions);

beforeAll(async () => {
  const unused = async (): Promise<never> => {
    throw new Error('not in this test');
  };
  const customers = {
    ...Object.fromEntries(Object.keys(CustomerServiceService).map((name) => [name, unused])),
    async updateCustomer(request: UpdateCustomerRequest) {
      seen = request;
      return Customer.fromPartial({});
    },
  } as unknown as Handlers<typeof CustomerServiceService>;
  const catalog = {
    ...Object.fromEntries(Object.keys(CatalogServiceService).map((name) => [name, unused])),
    async updateProduct(request: UpdateProductRequest) {
      seen = request;
      return Product.fromPartial({});
    },
  } as unknown as Handlers<typeof CatalogServiceService>;
  server = await start({}, [service(CustomerServiceService, customers), service(CatalogServiceService, catalog)]);
});
afterAll(stopAll);

async function patch(path: string, body: object): Promise<object> {
  seen = undefined;
  const headers = { authorization: `Bearer ${await auth()}`, 'content-type': 'application/json' };
  const response = await fetch(`${server.url}${path}`, { method: 'PATCH', headers, body: JSON.stringify(body) });
  expect({ status: response.status, text: await response.text() }).toMatchObject({ status: 200 });
  return seen!;
}

describe.each(['displayName', 'email', 'country'] as const)('the %s of a customer', (name) => {
  const mask = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  test.each([
    ['without a mask', { [name]: '' }],
    ['with a mask', { [name]: '', updateMask: [mask] }],
    ['by the mask alone', { updateMask: [mask] }],
  ])('is cleared %s', async (_, change) => {
    const customerId = 'auth0|5f7c';
    const expected = UpdateCustomerRequest.fromPartial({ customerId, ...change });
    const { updateMask, ...fields } = change as { updateMask?: string[] };
    // The names of JSON and those of the contract.
    for (const spelled of [name, mask]) {
      const body = { ...fields, ...(updateMask && { updateMask: spelled }) };
      expect(await patch(`/v1/customers/${encodeURIComponent(customerId)}`, body)).toEqual(expected);
    }
    const client = connect(CustomerServiceService, { address: server.address, auth });
    try {
      seen = undefined;
      await client.updateCustomer(expected);
      expect(seen).toMatchObject({ ...change, customerId });
    } finally {
      client.close();
    }
  });
});

describe.each(['description', 'category'] as const)('the %s of a product', (name) => {
  test.each([
    ['without a mask', { [name]: '' }],
    ['with a mask', { [name]: '', updateMask: [name] }],
    ['by the mask alone', { updateMask: [name] }],
  ])('is cleared %s', async (_, change) => {
    const expected = UpdateProductRequest.fromPartial({ productId: 'p-1', ...change });
    const { updateMask, ...fields } = change as { updateMask?: string[] };
    const body = { ...fields, ...(updateMask && { updateMask: name }) };
    expect(await patch('/v1/products/p-1', body)).toEqual(expected);
    const client = connect(CatalogServiceService, { address: server.address, auth });
    try {
      seen = undefined;
      await client.updateProduct(expected);
      expect(seen).toMatchObject({ ...change, productId: 'p-1' });
    } finally {
      client.close();
    }
  });
});

test('a mask has names of both spellings, as its own name has', async () => {
  for (const mask of ['display_name,email', 'displayName,email', 'display_name,email,country'])
    for (const key of ['updateMask', 'update_mask'])
      expect(await patch('/v1/customers/c', { [key]: mask })).toMatchObject({
        updateMask: mask.replace('displayName', 'display_name').split(','),
      });
});

test('null is absent, so it clears nothing', async () => {
  const request = await patch('/v1/customers/c', { email: null, country: 'France' });
  expect(request).toMatchObject({ email: undefined, country: 'France' });
});
