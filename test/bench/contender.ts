/** A process whose clients reserve pieces of one product, for the benchmark `contention`. */
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { localClient } from '@caudal/rpc/client/local-client.ts';
import { openForwarder } from '@caudal/rpc/forward/forwarder.ts';
import { authenticator } from '@caudal/rpc/server/auth.ts';
import { startServer } from '@caudal/rpc/server/server.ts';
import { type Key, tokenSource } from '@caudal/rpc/server/tokens.ts';
import { freePorts } from '../e2e/part.ts';
import type { Contender } from './contenders.ts';
import { openInventory } from './inventory.ts';
import { closedLoop } from './load.ts';

const connections = 16;
const ttl = { seconds: 900n, nanos: 0 };
const issuer = 'bench';
const permissions = ['inventory.stock.reserve:any', 'calls.forward'];

const { url, productId, clients, warmSeconds, seconds, key } = JSON.parse(process.argv[2]!) as Contender & { key: Key };
const [port] = await freePorts(1);
const instance = newId();
const address = `127.0.0.1:${port}`;
const inventory = openInventory(url, connections, { address, instance, contract: 'bench' });
const token = tokenSource({
  key: key.privateKey,
  issuer,
  audience: issuer,
  subject: 'service:bench',
  permissions,
  ttlSeconds: 3_600,
});
const forwarder = openForwarder({ token });
const server = await startServer({
  services: [inventory.service],
  auth: authenticator({ keys: { keys: [key.publicKey] }, issuer, audience: issuer }),
  grpc: { host: '127.0.0.1', port: port! },
  forwarding: { instance, address, forwarder, ownedMs: inventory.ownedMs },
});
const caller = { subject: 'service:bench', permissions: new Set(permissions) };
const client = localClient(InventoryServiceService, [inventory.service], caller, { forwarder, token });

/** Reserves one piece, as an order does. If it has lost too many races in a row it is repeated, as clients do. */
async function reserve(): Promise<void> {
  const reservationId = newId();
  const lines = [{ productId, quantity: 1n }];
  for (;;) {
    try {
      await client.reserveStock({ requestId: '', reservationId, lines, attributes: {}, ttl });
      return;
    } catch (error) {
      if (!isCode(error, 'ABORTED')) throw error;
    }
  }
}

await reserve();
process.send!('ready');
await new Promise((resolve) => process.once('message', resolve));
// The owner is found in this time, and the code becomes fast. Its waits count, its rate does not.
const warm = await closedLoop({ clients, seconds: warmSeconds, work: reserve });
const measured = await closedLoop({ clients, seconds, work: reserve });
process.send!({ ...measured, max: Math.max(warm.max, measured.max) });
// The others may still forward to it.
await new Promise((resolve) => process.once('message', resolve));
await server.stop();
await forwarder.stop();
await inventory.close();
process.disconnect!();
