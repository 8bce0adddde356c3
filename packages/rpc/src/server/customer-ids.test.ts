/** Customers' ids as token issuers make them: through REST and gRPC to the handler, and to the owner's check. */
import { customer } from '@caudal/contract/entities.ts';
import { entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import {
  Customer,
  CustomerQueryServiceService,
  EmailVerification,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { customerIds } from '@caudal/testing/customer-ids.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { services, start, stopAll, token } from '../testing/fixture.ts';
import { type Handlers, service } from '../types.ts';
import { decodeConsistency, encodeConsistency } from './consistency-token.ts';

let server: Awaited<ReturnType<typeof start>>;

beforeAll(async () => {
  const handlers: Handlers<typeof CustomerQueryServiceService> = {
    getCustomer: async ({ customerId }) => Customer.fromPartial({ customerId }),
    getEmailVerification: async () => EmailVerification.fromPartial({}),
  };
  server = await start({}, [...services(), service(CustomerQueryServiceService, handlers)]);
});
afterAll(stopAll);

describe.each(customerIds)('the customer %s', (id) => {
  const permissions = ['customers.customers.read', 'orders.orders.read'];
  const get = async (path: string) => {
    const authorization = `Bearer ${await token(id, permissions)}`;
    const response = await fetch(`${server.url}${path}`, { headers: { authorization } });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };

  test('is read over REST, by its encoded id', async () => {
    const { status, json } = await get(`/v1/customers/${encodeURIComponent(id)}`);
    expect([status, json.customerId]).toEqual([200, id]);
    expect((await get(`/v1/orders?customerId=${encodeURIComponent(id)}`)).status).toBe(200);
  });

  test('is read over REST with as little encoded as a path needs', async () => {
    const { status, json } = await get(`/v1/customers/${id.replace(/[%/?#]/g, encodeURIComponent)}`);
    expect([status, json.customerId]).toEqual([200, id]);
  });

  test('is read over gRPC', async () => {
    const auth = () => token(id, permissions);
    const queries = connect(CustomerQueryServiceService, { address: server.address, auth });
    const orders = connect(OrderQueryServiceService, { address: server.address, auth });
    try {
      expect((await queries.getCustomer({ customerId: id, readMask: undefined })).customerId).toBe(id);
      const other = `${id.slice(0, 179)}y`;
      await expect(queries.getCustomer({ customerId: other, readMask: undefined })).rejects.toMatchObject({
        reason: 'NOT_OWNER',
      });
      const page = { pageSize: 0, pageToken: '', readMask: undefined, orderBy: '' };
      const list = { customerId: id, status: 0 as const, needsAttention: false, ...page };
      expect((await orders.listOrders(list)).orders).toHaveLength(2);
    } finally {
      queries.close();
      orders.close();
    }
  });

  test('is one of many owners: another is refused over REST', async () => {
    const { status, json } = await get(`/v1/customers/${encodeURIComponent(`${id.slice(0, 179)}y`)}`);
    expect([status, json.reason]).toEqual([403, 'NOT_OWNER']);
  });

  test('names a stream from which its id is read again, also by a consistency token', () => {
    const stream = customer.stream(id);
    expect([entityOfStream(stream), idOfStream(stream)]).toEqual(['customers.customer', id]);
    const written = [{ stream, version: 1 }];
    expect(decodeConsistency(encodeConsistency(written))).toEqual(written);
  });
});

test('a verb that is not encoded is one only where a method has it', async () => {
  const authorization = `Bearer ${await token('urn:example:user:cancel', ['customers.customers.read', 'orders.orders.read'])}`;
  const status = async (path: string) => (await fetch(`${server.url}${path}`, { headers: { authorization } })).status;
  expect(await status('/v1/customers/urn:example:user:cancel')).toBe(200);
  // No verb of an order, so it is part of the id, and no order has such an id.
  expect(await status('/v1/orders/o-1:unknown')).toBe(400);
});
