/** For tests: real services of the contract with small handlers, served on free ports, and tokens for them. */
import {
  InventoryQueryServiceService,
  InventoryServiceService,
  type StockItem,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import {
  type Order,
  OrderQueryServiceService,
  OrderServiceService,
  type PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError, notFound, refused, unavailable } from '@caudal/kernel/errors.ts';
import { authenticator } from '../server/auth.ts';
import { type ServerOptions, startServer } from '../server/server.ts';
import { generateKey, type Key, signToken } from '../server/tokens.ts';
import { type Call, type Handlers, type Service, service } from '../types.ts';

export const issuer = 'https://issuer.test';
export const audience = 'caudal';

/** The calls that the handlers have received. */
export interface Seen {
  request: unknown;
  call: Call;
}

export function order(fields: Partial<Order> = {}): Order {
  return {
    orderId: 'o-1',
    customerId: 'alice',
    country: 'GB',
    status: 1,
    lines: [{ productId: 'p-1', quantity: 2n, unitPrice: { minorUnits: 1250n, currency: 'GBP' }, title: 'Mug' }],
    total: { minorUnits: 2500n, currency: 'GBP' },
    reason: '',
    payment: undefined,
    shipment: undefined,
    shipments: [],
    fulfilmentStatus: 0,
    createTime: new Date('2026-01-01T12:00:00Z'),
    updateTime: undefined,
    reference: '',
    etag: 'v1',
    reservationId: '',
    returns: [],
    ...fields,
  };
}

export function stockItem(fields: Partial<StockItem> = {}): StockItem {
  return {
    productId: 'p-1',
    kind: 'standard',
    policy: { safety: '2' },
    onHand: 10n,
    reserved: 10n,
    available: 0n,
    updateTime: new Date('2026-01-01T12:00:00.250Z'),
    etag: 's1',
    ...fields,
  };
}

export const placeOrder = (fields: Partial<PlaceOrderRequest> = {}): PlaceOrderRequest => ({
  requestId: '',
  orderId: 'o-1',
  customerId: 'alice',
  country: 'GB',
  lines: [{ productId: 'p-1', quantity: 2n }],
  paymentMethod: { method: { $case: 'walletId', value: 'w-1' } },
  reference: '',
  attributes: {},
  ...fields,
});

/** The behaviour of GetOrder and CancelOrder by the order's id. */
const behaviours: Record<string, (call: Call) => Promise<Order>> = {
  missing: async () => {
    throw notFound('order', 'missing');
  },
  refused: async (call) => {
    call.authorize('alice');
    throw refused('ORDER_SHIPPED', 'The order has left already.', { metadata: { order: 'refused' } });
  },
  changed: async () => {
    throw new CaudalError('ABORTED', 'ETAG_MISMATCH', 'The order has changed.');
  },
  down: async () => {
    throw unavailable('PostgreSQL', new Error('connection refused to 10.0.0.7'), 1500);
  },
  bug: async () => {
    throw new TypeError('secret: card 4111');
  },
  careless: async () => order(),
  remembered: async (call) => {
    call.authorize('alice');
    call.remembered(250);
    call.remembered(3_400);
    call.remembered(0);
    return order();
  },
  broken: async (call) => {
    call.authorize('alice');
    return { ...order(), lines: [{ productId: 'x' }] } as never;
  },
  slow: (call) =>
    new Promise((_, reject) => {
      call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
    }),
};

const unused = async (): Promise<never> => {
  throw new CaudalError('UNIMPLEMENTED', 'UNIMPLEMENTED', 'Not in this test.');
};

/** The services. `seen` receives every call. If given, GetOrder of "gate" waits for `gate`. */
export function services(seen: Seen[] = [], gate: Promise<void> = Promise.resolve()): Service[] {
  const note = (request: unknown, call: Call) => {
    seen.push({ request, call });
  };
  const read = async (orderId: string, call: Call) => {
    if (orderId === 'gate') await gate;
    const behaviour = behaviours[orderId];
    if (behaviour) return behaviour(call);
    const found = order({ orderId });
    call.authorize(found.customerId);
    return found;
  };
  const orders: Handlers<typeof OrderServiceService> = {
    async placeOrder(request, call) {
      note(request, call);
      call.wrote(`orders.order/${request.orderId}`, 1);
      return order({ orderId: request.orderId, customerId: request.customerId });
    },
    async cancelOrder(request, call) {
      note(request, call);
      return read(request.orderId, call);
    },
    returnOrder: unused,
    settleReturn: unused,
  };
  const orderQueries: Handlers<typeof OrderQueryServiceService> = {
    summarizeOrders: unused,
    async getOrder(request, call) {
      note(request, call);
      return read(request.orderId, call);
    },
    async listOrders(request, call) {
      note(request, call);
      return { orders: [order(), order({ orderId: 'o-2', status: 3 })], nextPageToken: 'next' };
    },
  };
  const inventory: Handlers<typeof InventoryServiceService> = {
    createStockItem: unused,
    restock: unused,
    commitReservation: unused,
    releaseReservation: unused,
    returnStock: unused,
    putBack: unused,
    async reserveStock(request, call) {
      note(request, call);
      return { reservationId: request.reservationId, lines: request.lines, expireTime: new Date(0) };
    },
    async adjustStock(request, call) {
      note(request, call);
      return stockItem({ productId: request.productId });
    },
  };
  const stock: Handlers<typeof InventoryQueryServiceService> = {
    countStockItems: unused,
    async getStockItem(request, call) {
      note(request, call);
      return stockItem({ productId: request.productId });
    },
    async listStockItems(request, call) {
      note(request, call);
      return {
        stockItems: Array.from({ length: 40 }, (_, n) => stockItem({ productId: `p-${n}` })),
        nextPageToken: '',
      };
    },
  };
  const log: Handlers<typeof LogServiceService> = {
    readStreams: unused,
    heads: unused,
    follow: unused,
    async readLog(request, call) {
      note(request, call);
      return { events: [], epochs: [], headPosition: 7n };
    },
  };
  return [
    service(OrderServiceService, orders),
    service(OrderQueryServiceService, orderQueries),
    service(InventoryServiceService, inventory),
    service(InventoryQueryServiceService, stock),
    service(LogServiceService, log),
  ];
}

const keys: Promise<Key> = generateKey('test');

/** A token for this subject. */
export async function token(subject: string, permissions: string[], fields: { ttlSeconds?: number; key?: Key } = {}) {
  const { privateKey } = fields.key ?? (await keys);
  return signToken({ key: privateKey, issuer, audience, subject, permissions, ttlSeconds: fields.ttlSeconds ?? 60 });
}

const started: { stop(): Promise<void> }[] = [];

/** Stops the servers that a failed test has left running, so that jest ends. */
export const stopAll = () => Promise.all(started.splice(0).map((server) => server.stop())).then(() => {});

/** A server with these services on free ports of the loopback interface. */
export async function start(options: Partial<ServerOptions> = {}, list: Service[] = services()) {
  const { publicKey } = await keys;
  const server = await startServer({
    services: list,
    auth: authenticator({ keys: { keys: [publicKey] }, issuer, audience }),
    grpc: { host: '127.0.0.1', port: 0 },
    rest: { host: '127.0.0.1', port: 0 },
    ...options,
  });
  started.push(server);
  server.setReady(true);
  const url = `http://127.0.0.1:${server.restPort}`;
  return { ...server, url, address: `127.0.0.1:${server.grpcPort}` };
}
