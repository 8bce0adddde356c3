/** A caller without `:any` can't tell a resource of another owner from none, whatever the handler does. */

import {
  CancelOrderRequest,
  OrderQueryServiceService,
  OrderServiceService,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError, notFound, refused, unavailable } from '@caudal/kernel/errors.ts';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { order, placeOrder, start, stopAll, token } from '../testing/fixture.ts';
import { type Call, type Handlers, service } from '../types.ts';
import { missingResource } from './missing-resource.ts';

let handle: (orderId: string, call: Call) => Promise<ReturnType<typeof order>>;
const unused = async (): Promise<never> => {
  throw new Error('not used');
};
const commands: Handlers<typeof OrderServiceService> = {
  placeOrder: async (_, call) => handle('placed', call),
  cancelOrder: ({ orderId }, call) => handle(orderId, call),
  returnOrder: unused,
  settleReturn: unused,
};
const queries: Handlers<typeof OrderQueryServiceService> = {
  getOrder: ({ orderId }, call) => handle(orderId, call),
  listOrders: unused,
  summarizeOrders: unused,
};
const permissions = ['orders.orders.read', 'orders.orders.cancel', 'orders.orders.place'];
let server: Awaited<ReturnType<typeof start>>;
const open: { close(): void }[] = [];

beforeEach(async () => {
  server = await start({}, [service(OrderServiceService, commands), service(OrderQueryServiceService, queries)]);
});
afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await stopAll();
});
afterAll(stopAll);

/** The error of both methods, over REST and gRPC, for the caller. */
async function errorsFor(subject: string, granted = permissions) {
  const bearer = await token(subject, granted);
  const auth = async () => bearer;
  const rpc = [
    connect(OrderQueryServiceService, { address: server.address, auth }),
    connect(OrderServiceService, { address: server.address, auth }),
  ] as const;
  open.push(...rpc);
  const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
  const rest = async (path: string, init?: RequestInit) => {
    const reply = await fetch(`${server.url}${path}`, { ...init, headers });
    const { reason, status, detail, metadata } = (await reply.json()) as Record<string, unknown>;
    return { reason, status, detail, metadata };
  };
  const caught = async (answer: Promise<unknown>) => {
    const { code, reason, message, metadata } = (await answer.catch((error: unknown) => error)) as CaudalError;
    return { code, reason, message, metadata };
  };
  return [
    await rest('/v1/orders/o-9'),
    await rest('/v1/orders/o-9:cancel', { method: 'POST', body: '{}' }),
    await caught(rpc[0].getOrder({ orderId: 'o-9', readMask: undefined })),
    await caught(rpc[1].cancelOrder(CancelOrderRequest.fromPartial({ orderId: 'o-9' }))),
  ];
}

describe('the answer is the same', () => {
  const ways: Record<string, typeof handle> = {
    'there is none': async (orderId) => {
      throw notFound('order', orderId);
    },
    'the handler says so in other words': async () => {
      throw new CaudalError('NOT_FOUND', 'VIEW_ROW_NOT_FOUND', 'No row.', { metadata: { version: '7' } });
    },
    'it is of another owner': async (_, call) => {
      call.authorize('alice');
      return order();
    },
    'it has no owner': async (_, call) => {
      call.authorize(undefined);
      return order();
    },
  };

  test('for a caller who may use only its own', async () => {
    const answers = [];
    for (const way of Object.values(ways)) {
      handle = way;
      answers.push(await errorsFor('bob'));
    }
    const text = { reason: 'ORDER_NOT_FOUND', metadata: { order: 'o-9' } };
    const http = { ...text, status: 404, detail: 'There is no order "o-9".' };
    const rpc = { ...text, code: 'NOT_FOUND', message: 'There is no order "o-9".' };
    for (const answer of answers) expect(answer).toEqual([http, http, rpc, rpc]);
  });

  test('and what was saved by a cache is done before it, once', async () => {
    const done: string[] = [];
    handle = async (orderId, call) => {
      call.balance?.(async () => done.push(orderId));
      call.authorize('alice');
      return order({ orderId });
    };
    await errorsFor('bob');
    expect(done).toEqual(Array(4).fill('o-9'));
    await errorsFor('alice');
    await errorsFor(
      'staff',
      permissions.map((name) => `${name}:any`),
    );
    expect(done).toHaveLength(4);
    // A store that is away is away for a missing resource, too.
    handle = async (_, call) => {
      call.balance?.(async () => {
        throw unavailable('the store');
      });
      call.authorize('alice');
      return order();
    };
    for (const { reason } of await errorsFor('bob')) expect(reason).toBe('DEPENDENCY_UNAVAILABLE');
  });
});

describe('errors pass as they are', () => {
  const reasonsFor = async (subject: string, granted?: string[]) =>
    (await errorsFor(subject, granted)).map(({ reason }) => reason);

  test('once the handler has authorized the owner, also NOT_FOUND of something else', async () => {
    handle = async (_, call) => {
      call.authorize('alice');
      throw notFound('wallet', 'w-1');
    };
    expect(await reasonsFor('alice')).toEqual(Array(4).fill('WALLET_NOT_FOUND'));
    handle = async (_, call) => {
      call.authorize('alice');
      throw refused('ORDER_SHIPPED', 'It has left.');
    };
    expect(await reasonsFor('alice')).toEqual(Array(4).fill('ORDER_SHIPPED'));
  });

  test('for a caller who may use all', async () => {
    handle = async () => {
      throw new CaudalError('NOT_FOUND', 'VIEW_ROW_NOT_FOUND', 'No row.');
    };
    const all = permissions.map((name) => `${name}:any`);
    expect(await reasonsFor('staff', all)).toEqual(Array(4).fill('VIEW_ROW_NOT_FOUND'));
  });

  test('where the request names the owner', async () => {
    handle = async (_, call) => {
      call.authorize(undefined);
      return order();
    };
    const bearer = await token('alice', permissions);
    const client = connect(OrderServiceService, { address: server.address, auth: async () => bearer });
    open.push(client);
    await expect(client.placeOrder(placeOrder())).rejects.toMatchObject({ reason: 'NOT_OWNER' });
  });
});

test('a method whose path names no resource does not start', () => {
  const method = { path: '/a.B/C', http: [{ template: '/v1/things' }], request: { fields: [{ name: 'request_id' }] } };
  expect(() => missingResource(method as never)).toThrow('/a.B/C has owner_in_resource, and nothing in its path');
});

test('a resource that several fields of a path name is called after its collection', () => {
  const fields = ['carrier', 'tracking_number'].map((name, index) => ({
    name,
    jsonName: ['carrier', 'trackingNumber'][index],
  }));
  const http = [{ template: '/v1/parcels/{carrier}/{tracking_number}/traces' }];
  const missing = missingResource({ path: '/a.B/C', http, request: { fields } } as never);
  expect(missing({ carrier: 'acme', trackingNumber: '1' }, undefined)).toMatchObject({
    reason: 'PARCEL_NOT_FOUND',
    message: 'There is no parcel "acme/1".',
  });
});
