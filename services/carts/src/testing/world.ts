/** Carts on a real PostgreSQL, with small models of the contexts that they call. */
import { randomBytes } from 'node:crypto';
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type {
  CartQueryServiceService,
  CartServiceService,
  GuestCartServiceService,
} from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Order, type PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { type RowSeal, sealWith } from '@caudal/eventlog/personal/row-seals.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import { CaudalError, notFound } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { cartService } from '../commands/cart-service.ts';
import { guestCartService } from '../commands/guest-cart-service.ts';
import { parseFields, usualFields } from '../fields-setting.ts';
import { openProducts } from '../prices.ts';
import { cartQueryService } from '../queries/cart-query-service.ts';
import { openCartStore } from '../store/cart-store.ts';
import { migrations } from '../store/migrations.ts';

const price = { minorUnits: 650n, currency: 'GBP' };

/** Opens an empty system. `drop` ends it. */
export async function cartWorld() {
  const fresh = await freshLog('carts');
  await migrate({ url: fresh.url, schema: 'carts', sets: [migrations] });
  const { log, database } = fresh;
  let now = new Date();
  const clock = () => now;
  const aggregates = openAggregates({ log, clock, ids: newId });
  const keys = new Map<string, RowSeal>();
  const erased = new Set<string>();
  const seals = async (person: string) => {
    if (erased.has(person)) return undefined;
    if (!keys.has(person)) keys.set(person, sealWith(randomBytes(32), ['carts', person]));
    return keys.get(person)!;
  };
  const products = new Map<string, Product>();
  const orders = new Map<string, { order: Order; request: string }>();
  /** What happens to a call of PlaceOrder. */
  let place: (run: () => Order) => Promise<Order> = async (run) => run();
  const asText = (request: PlaceOrderRequest) =>
    JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? String(value) : value));

  function placeOrder(request: PlaceOrderRequest): Order {
    const known = orders.get(request.orderId);
    if (known) {
      if (known.request === asText(request)) return known.order;
      throw new CaudalError('ALREADY_EXISTS', 'ORDER_EXISTS', 'There is another order of this id.');
    }
    const order = Order.fromPartial({
      ...{ orderId: request.orderId, customerId: request.customerId },
      lines: request.lines.map(({ productId, quantity }) => ({ productId, quantity })),
    });
    orders.set(request.orderId, { order, request: asText(request) });
    return order;
  }

  const reserved = new Map<string, string>();
  /** What happens before stock is reserved, and before it is released. */
  let inventoryDoes: { reserve?: () => Promise<void>; release?: () => Promise<void> } = {};
  /** The products that the catalogue was asked for. */
  const lookedUp: string[] = [];
  const catalog = {
    async getProduct({ productId }: { productId: string }) {
      lookedUp.push(productId);
      const product = products.get(productId);
      if (!product) throw notFound('product', productId);
      return product;
    },
  } as never;
  /** Who is not registered, and whom customers were asked about. */
  const strangers = new Set<string>();
  const asked: string[] = [];
  const customers = {
    async getCustomer({ customerId }: { customerId: string }) {
      asked.push(customerId);
      if (strangers.has(customerId)) throw notFound('customer', customerId);
      return Customer.fromPartial({ customerId, eraseTime: erased.has(customerId) ? now : undefined });
    },
  } as never;
  const store = openCartStore({ database, clock });
  const common = { store, seals, clock, ids: newId, fields: parseFields(usualFields) };
  const orderQueries = {
    async getOrder({ orderId }: { orderId: string }) {
      const known = orders.get(orderId);
      if (!known) throw notFound('order', orderId);
      return known.order;
    },
  } as never;
  const others = {
    holdLimits: { mostPieces: 100, mostMs: 3_600_000 },
    inventory: {
      async reserveStock({ reservationId }: { reservationId: string }) {
        await inventoryDoes.reserve?.();
        reserved.set(reservationId, 'open');
        return { reservationId, lines: [], expireTime: new Date(now.getTime() + 300_000) };
      },
      async releaseReservation({ reservationId }: { reservationId: string }) {
        await inventoryDoes.release?.();
        if (!reserved.has(reservationId)) throw notFound('reservation', reservationId);
        reserved.set(reservationId, 'released');
        return { reservationId, lines: [], expireTime: undefined };
      },
    } as never,
    orders: { placeOrder: (request: PlaceOrderRequest) => place(() => placeOrder(request)) } as never,
    orderQueries,
  };
  const withProducts = { ...common, customers, products: openProducts({ catalog, clock }) };
  return {
    ...{ fresh, database, aggregates, store, seals, orderQueries, products, orders, reserved, erased, clock },
    ...{ strangers, asked, lookedUp },
    carts: cartService({ ...withProducts, ...others, aggregates }).handlers as unknown as Handlers<CartServiceService>,
    guests: guestCartService(withProducts).handlers as unknown as Handlers<GuestCartServiceService>,
    queries: cartQueryService(withProducts).handlers as unknown as Handlers<CartQueryServiceService>,
    /** The same carts in another process. */
    otherProcess() {
      const other = { ...withProducts, store: openCartStore({ database: fresh.open().database, clock }) };
      return cartService({ ...other, ...others, aggregates }).handlers as unknown as Handlers<CartServiceService>;
    },
    sell(productId: string, more: Partial<Product> = {}) {
      products.set(productId, Product.fromPartial({ productId, title: productId, price, available: 100n, ...more }));
    },
    placing(next: typeof place) {
      place = next;
    },
    reserving(next: typeof inventoryDoes) {
      inventoryDoes = next;
    },
    pass(ms: number) {
      now = new Date(now.getTime() + ms);
    },
    drop: () => fresh.drop(),
  };
}

export type CartWorld = Awaited<ReturnType<typeof cartWorld>>;
