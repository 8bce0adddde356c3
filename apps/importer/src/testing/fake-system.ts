/**
 * A fake of the system's public services, in memory, for tests of the import. Repeated commands get their first answer,
 * refusals are as in the real contexts, orders advance step by step, and views lag by one step. It has no log, broker
 * or clock. The end-to-end tests run the import with the real system.
 */
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import {
  Order,
  OrderPayment,
  OrderShipment,
  OrderStatus,
  type PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { Payment, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { Wallet } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { CaudalError, notFound, refused } from '@caudal/kernel/errors.ts';
import type { ImportApi } from '../api.ts';

export interface FakeOptions {
  /** When a call fails: 'before' it is done, or 'after', so only its answer is lost. */
  fault?: (method: string) => 'before' | 'after' | undefined;
  /** Steps that an order advances at each read; 1 if absent. */
  stepsPerRead?: number;
}

export interface FakeSystem {
  api: ImportApi;
  /** Methods, in the order in which they were called. */
  calls: string[];
  products: Map<string, Product>;
  stock: Map<string, StockItem>;
  wallets: Map<string, Wallet>;
  orders: Map<string, Order>;
}

const money = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });

/** An empty system. */
export function fakeSystem({ fault = () => undefined, stepsPerRead = 1 }: FakeOptions = {}): FakeSystem {
  const calls: string[] = [];
  const answers = new Map<string, { content: string; answer: unknown }>();
  const customers = new Set<string>();
  const products = new Map<string, Product>();
  const stock = new Map<string, StockItem>();
  const wallets = new Map<string, Wallet>();
  const orders = new Map<string, Order>();
  const payments = new Map<string, Payment>();
  const methods = new Map<string, PlaceOrderRequest['paymentMethod']>();

  const call =
    <Request extends object, Answer>(name: string, work: (request: Request) => Answer | Promise<Answer>) =>
    async (request: Request, options?: { signal?: AbortSignal }): Promise<Answer> => {
      calls.push(name);
      await new Promise(setImmediate);
      if (options?.signal?.aborted) throw new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller went away.');
      const wrong = fault(name);
      if (wrong === 'before') throw new CaudalError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE', 'It is away.');
      const answer = structuredClone(await once(name, request, work));
      if (wrong === 'after') throw new CaudalError('DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', 'It took too long.');
      return answer;
    };

  async function once<Request extends object, Answer>(
    name: string,
    request: Request,
    work: (request: Request) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const { requestId } = request as { requestId?: string };
    if (requestId === undefined) return await work(request);
    const key = `${name}/${requestId}`;
    const content = JSON.stringify(request, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    const first = answers.get(key);
    if (first && first.content !== content) throw new CaudalError('INVALID_ARGUMENT', 'REQUEST_ID_REUSED', 'Reused.');
    if (first) return first.answer as Answer;
    const answer = await work(request);
    answers.set(key, { content, answer: structuredClone(answer) });
    return answer;
  }

  const exists = (kind: string) => new CaudalError('ALREADY_EXISTS', `${kind}_EXISTS`, `There is a ${kind} already.`);
  const known = <T>(map: Map<string, T>, kind: string, id: string): T => {
    const found = map.get(id);
    if (!found) throw notFound(kind, id);
    return found;
  };
  const free = ({ onHand, reserved }: StockItem) => onHand - reserved;
  const itemsOf = (order: Order) => order.lines.map((line) => ({ ...line, item: stock.get(line.productId)! }));

  /** The order's next step, like that of its saga. */
  function advance(order: Order): void {
    const { status, payment, shipment } = order;
    if (status === OrderStatus.ORDER_STATUS_PENDING && !payment) {
      if (itemsOf(order).some(({ item, quantity }) => !item || free(item) < quantity)) {
        order.status = OrderStatus.ORDER_STATUS_REJECTED;
        order.reason = 'INSUFFICIENT_STOCK';
        return;
      }
      for (const { item, quantity } of itemsOf(order)) item.reserved += quantity;
      pay(order);
    } else if (status === OrderStatus.ORDER_STATUS_PENDING) {
      for (const { item, quantity } of itemsOf(order)) {
        item.reserved -= quantity;
        if (payment!.status === 'succeeded') item.onHand -= quantity;
      }
      const paid = payment!.status === 'succeeded';
      order.status = paid ? OrderStatus.ORDER_STATUS_CONFIRMED : OrderStatus.ORDER_STATUS_REJECTED;
      order.reason = paid ? '' : 'INSUFFICIENT_FUNDS';
    } else if (status === OrderStatus.ORDER_STATUS_CONFIRMED && !shipment) {
      order.shipment = OrderShipment.fromPartial({ shipmentId: order.orderId, status: 'created' });
    } else if (status === OrderStatus.ORDER_STATUS_CONFIRMED && shipment!.status !== 'created') {
      order.status = OrderStatus.ORDER_STATUS_SHIPPED;
    } else if (status === OrderStatus.ORDER_STATUS_SHIPPED && shipment!.status === 'delivered') {
      order.status = OrderStatus.ORDER_STATUS_DELIVERED;
    } else if (status === OrderStatus.ORDER_STATUS_CANCELLING) {
      order.status = OrderStatus.ORDER_STATUS_CANCELLED;
      shipment!.status = 'cancelled';
      for (const { item, quantity } of itemsOf(order)) item.onHand += quantity;
    } else if (status === OrderStatus.ORDER_STATUS_CANCELLED && payment!.status === 'succeeded') {
      payment!.status = 'refunded';
      const paid = payments.get(order.orderId)!;
      paid.status = PaymentStatus.PAYMENT_STATUS_REFUNDED;
      if (paid.walletId) wallets.get(paid.walletId)!.balance!.minorUnits += order.total!.minorUnits;
    }
  }

  function pay(order: Order): void {
    const method = methods.get(order.orderId)!.method!;
    const wallet = method.$case === 'walletId' ? known(wallets, 'wallet', method.value) : undefined;
    const enough = !wallet || wallet.balance!.minorUnits >= order.total!.minorUnits;
    if (wallet && enough) wallet.balance!.minorUnits -= order.total!.minorUnits;
    const status = enough ? PaymentStatus.PAYMENT_STATUS_SUCCEEDED : PaymentStatus.PAYMENT_STATUS_FAILED;
    const paymentId = order.orderId;
    const walletId = wallet?.walletId ?? '';
    payments.set(
      paymentId,
      Payment.fromPartial({ paymentId, orderId: order.orderId, amount: { ...order.total }, walletId, status }),
    );
    const paid = { paymentId, status: enough ? 'succeeded' : 'failed', amount: { ...order.total! } };
    order.payment = OrderPayment.fromPartial(paid);
  }

  function pageOf<T>(all: Iterable<T>, { pageSize, pageToken }: { pageSize: number; pageToken: string }) {
    const items = [...all];
    const from = Number(pageToken || 0);
    const to = from + Math.min(pageSize || 20, 100);
    return { items: items.slice(from, to), nextPageToken: to < items.length ? String(to) : '' };
  }

  const api = {
    customers: {
      registerCustomer: call('registerCustomer', (request: { customerId: string }) => {
        if (customers.has(request.customerId)) throw exists('CUSTOMER');
        customers.add(request.customerId);
        return Customer.fromPartial(request);
      }),
    },
    catalog: {
      createProduct: call('createProduct', (request: Pick<Product, 'productId' | 'title' | 'price'>) => {
        if (products.has(request.productId)) throw exists('PRODUCT');
        const product = Product.fromPartial({ ...request, price: { ...request.price! } });
        products.set(request.productId, product);
        return product;
      }),
      setPrice: call('setPrice', ({ productId, price }: Pick<Product, 'productId' | 'price'>) => {
        const product = known(products, 'product', productId);
        if (product.discontinued) throw refused('PRODUCT_DISCONTINUED', 'It is not sold any more.');
        product.price = { ...price! };
        return product;
      }),
    },
    stock: {
      createStockItem: call('createStockItem', ({ productId, quantity }: { productId: string; quantity: bigint }) => {
        if (stock.has(productId)) throw exists('STOCK');
        const item = StockItem.fromPartial({ productId, onHand: quantity });
        stock.set(productId, item);
        return item;
      }),
      restock: call('restock', ({ productId, quantity }: { productId: string; quantity: bigint }) => {
        const item = known(stock, 'stock', productId);
        item.onHand += quantity;
        return item;
      }),
      adjustStock: call('adjustStock', ({ productId, delta }: { productId: string; delta: bigint }) => {
        const item = known(stock, 'stock', productId);
        if (item.onHand + delta < item.reserved) throw refused('BELOW_RESERVED', 'They are promised.');
        item.onHand += delta;
        return item;
      }),
    },
    wallets: {
      createWallet: call('createWallet', ({ walletId, customerId }: { walletId: string; customerId: string }) => {
        if (wallets.has(walletId)) throw exists('WALLET');
        const wallet = Wallet.fromPartial({ walletId, customerId, balance: money(0n) });
        wallets.set(walletId, wallet);
        return wallet;
      }),
      deposit: call('deposit', ({ walletId, amount }: { walletId: string; amount: { minorUnits: bigint } }) => {
        const wallet = known(wallets, 'wallet', walletId);
        if (amount.minorUnits <= 0n) throw new CaudalError('INVALID_ARGUMENT', 'INVALID_FIELD', 'Must be above zero.');
        wallet.balance!.minorUnits += amount.minorUnits;
        return wallet;
      }),
    },
    orders: {
      placeOrder: call('placeOrder', async (request: PlaceOrderRequest) => {
        const { orderId, customerId, country, reference } = request;
        const found = request.lines.map(({ productId }) => products.get(productId));
        if (found.some((product) => !product || product.discontinued)) throw refused('PRODUCT_NOT_SOLD', 'Not sold.');
        if (!customers.has(customerId)) throw refused('CUSTOMER_UNKNOWN', 'There is no such customer.');
        // Prices are read before the order is placed, as in the real service.
        const lines = request.lines.map(({ productId, quantity }, index) => {
          const { price, title } = found[index]!;
          return { productId, quantity, unitPrice: { ...price! }, title };
        });
        await new Promise(setImmediate);
        if (orders.has(orderId)) throw exists('ORDER');
        const total = money(lines.reduce((sum, line) => sum + line.quantity * line.unitPrice.minorUnits, 0n));
        const status = OrderStatus.ORDER_STATUS_PENDING;
        const order = Order.fromPartial({ orderId, customerId, country, reference, lines, total, status });
        orders.set(orderId, order);
        methods.set(orderId, request.paymentMethod);
        return order;
      }),
      cancelOrder: call('cancelOrder', ({ orderId, reason }: { orderId: string; reason: string }) => {
        const order = known(orders, 'order', orderId);
        if (order.status === OrderStatus.ORDER_STATUS_CONFIRMED) {
          Object.assign(order, { status: OrderStatus.ORDER_STATUS_CANCELLING, reason });
        } else if (order.status < OrderStatus.ORDER_STATUS_CANCELLING) {
          throw refused('ORDER_NOT_CANCELLABLE', "It can't be cancelled.");
        }
        return order;
      }),
    },
    shipping: {
      dispatchShipment: call('dispatchShipment', (request: { shipmentId: string; carrier: string }) => {
        const { shipment } = known(orders, 'shipment', request.shipmentId);
        if (shipment!.status === 'created')
          Object.assign(shipment!, { status: 'dispatched', carrier: request.carrier });
        return Shipment.fromPartial({ shipmentId: request.shipmentId });
      }),
      deliverShipment: call('deliverShipment', ({ shipmentId }: { shipmentId: string }) => {
        const { shipment } = known(orders, 'shipment', shipmentId);
        if (shipment!.status === 'created') throw refused('SHIPMENT_NOT_DISPATCHED', 'It has not left.');
        shipment!.status = 'delivered';
        return Shipment.fromPartial({ shipmentId });
      }),
    },
    orderQueries: {
      getOrder: call('getOrder', ({ orderId }: { orderId: string }) => {
        const order = known(orders, 'order', orderId);
        const seen = structuredClone(order);
        for (let step = 0; step < stepsPerRead; step++) advance(order);
        return seen;
      }),
      listOrders: call('listOrders', (request: { pageSize: number; pageToken: string }) => {
        const { items, nextPageToken } = pageOf(orders.values(), request);
        return { orders: items, nextPageToken };
      }),
    },
    stockQueries: {
      listStockItems: call('listStockItems', (request: { pageSize: number; pageToken: string }) => {
        const { items, nextPageToken } = pageOf(stock.values(), request);
        return { stockItems: items, nextPageToken };
      }),
    },
    walletQueries: {
      listWallets: call('listWallets', (request: { pageSize: number; pageToken: string }) => {
        const { items, nextPageToken } = pageOf(wallets.values(), request);
        return { wallets: items, nextPageToken };
      }),
    },
    paymentQueries: {
      getPaymentStatus: call('getPaymentStatus', ({ paymentId }: { paymentId: string }) =>
        known(payments, 'payment', paymentId),
      ),
    },
  };
  // It has only the methods that the import calls.
  return { api: api as unknown as ImportApi, calls, products, stock, wallets, orders };
}
