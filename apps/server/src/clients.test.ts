/** Calls between contexts, and their errors if the called context refuses permission. */

import type { Context } from '@caudal/context/context.ts';
import { InventoryQueryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { type RunningServer, startServer } from '@caudal/rpc/server/server.ts';
import { type Service, service } from '@caudal/rpc/types.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openClients } from './clients.ts';
import type { Identity } from './identity.ts';
import type { RuntimeValues } from './settings/settings.ts';

const orders = { name: 'orders', permissions: [] as string[] } as unknown as Context;
const reader = { name: 'orders', permissions: ['inventory.stock.read'] } as unknown as Context;
const missing = async (): Promise<never> => {
  throw notFound('product', 'p-1');
};
const services: Service[] = [
  service(InventoryQueryServiceService, { getStockItem: missing, listStockItems: missing, countStockItems: missing }),
];
const request = { productId: 'p-1', readMask: undefined };

const identity: Identity = {
  auth: 'off',
  prepare: async () => {},
  forwardKeys: undefined,
  callerOf: ({ name, permissions }) => ({ subject: `service:${name}`, permissions: new Set(permissions) }),
  // The server below reads the granted permissions from the token.
  tokensOf:
    ({ permissions }) =>
    async () =>
      permissions.join('.') || 'none',
  workloadKeys: { signer: undefined, get: () => ({ find: () => undefined }), renew() {} },
  sign: () => undefined,
};

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({
    services,
    auth: async (header) => ({ subject: 'service:orders', permissions: new Set(header?.split(' ').slice(1)) }),
    grpc: { host: '127.0.0.1', port: 0 },
  });
});
afterAll(() => server.stop());

const open = (contexts: string[], as = identity) =>
  openClients(
    {
      CAUDAL_ROLES: ['command', 'query'],
      CAUDAL_CONTEXTS: contexts,
      CAUDAL_QUERY_ADDRESS: `127.0.0.1:${server.grpcPort}`,
      CAUDAL_COMMAND_ADDRESS: `127.0.0.1:${server.grpcPort}`,
    } as unknown as RuntimeValues,
    as,
    services,
  );

describe.each([
  ['in another process', ['orders']],
  ['in this process', ['orders', 'inventory']],
])('a context %s', (_, contexts) => {
  test('that refuses permission is reported as unavailable: neither the caller nor an event is at fault', async () => {
    const clients = open(contexts);
    const denied = clients.of(orders, InventoryQueryServiceService).getStockItem(request);
    await expect(denied).rejects.toMatchObject({ code: 'UNAVAILABLE', metadata: { dependency: 'inventory' } });
    await clients.stop();
  });

  test('answers with its own errors if permission is granted', async () => {
    const clients = open(contexts);
    const answer = clients.of(reader, InventoryQueryServiceService).getStockItem(request);
    await expect(answer).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await clients.stop();
  });
});

test('the same caller gets the same connection again, another caller its own', async () => {
  let made = 0;
  const tokensOf = (context: Context) => {
    made++;
    return identity.tokensOf(context);
  };
  const clients = open(['orders'], { ...identity, tokensOf });
  for (let time = 0; time < 5; time++) clients.at(orders, LogServiceService, 'inventory');
  expect(made).toBe(1);
  clients.at(orders, LogServiceService, 'payments'); // at the same address
  expect(made).toBe(1);
  clients.at({ ...orders, name: 'payments' }, LogServiceService, 'inventory');
  clients.of(orders, InventoryQueryServiceService);
  expect(made).toBe(3);
  await clients.stop();
});
