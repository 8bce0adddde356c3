/** Every list of the contract: its views, how events change them, and how a caller reads a page. */
import type { SearchReader } from '@caudal/context/view-reader.ts';
import { Product, SearchProductsRequest } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { ApiKey, ListApiKeysRequest } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { ListStockItemsRequest, StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { ListOrdersRequest, Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { ListSalesRequest, Sales } from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import { ListPaymentsRequest, Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import {
  ListTransactionsRequest,
  ListWalletsRequest,
  Transaction,
  Wallet,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { ListShipmentsRequest, Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { ViewDeclaration } from '@caudal/projections/types.ts';
import type { Service } from '@caudal/rpc/types.ts';
import { productSearch } from '@caudal/service-catalog/projections/product-search.ts';
import { catalogQueryService } from '@caudal/service-catalog/queries/catalog-query-service.ts';
import { apiKeys as apiKeysView } from '@caudal/service-credentials/projections/api-keys.ts';
import { credentialQueryService } from '@caudal/service-credentials/queries/credential-query-service.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { inventoryQueryService } from '@caudal/service-inventory/queries/inventory-query-service.ts';
import { orderDetails } from '@caudal/service-orders/projections/order-details.ts';
import { salesByDay } from '@caudal/service-orders/projections/sales-by-day.ts';
import { orderQueryService } from '@caudal/service-orders/queries/order-query-service.ts';
import { salesQueryService } from '@caudal/service-orders/queries/sales-query-service.ts';
import { paymentStatus } from '@caudal/service-payments/projections/payment-status.ts';
import { walletBalances } from '@caudal/service-payments/projections/wallet-balances.ts';
import { walletTransactions } from '@caudal/service-payments/projections/wallet-transactions.ts';
import { paymentQueryService } from '@caudal/service-payments/queries/payment-query-service.ts';
import { walletQueryService } from '@caudal/service-payments/queries/wallet-query-service.ts';
import { shipments as shipmentsView } from '@caudal/service-shipping/projections/shipments.ts';
import { shippingQueryService } from '@caudal/service-shipping/queries/shipping-query-service.ts';
import { testCall } from '@caudal/testing/call.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';

/** One list; `size` and small numbers stand for whatever is in its views. */
export interface ListedViews<V> {
  projection: ViewDeclaration<V>;
  /** Only stores that search have it. */
  searches?: true;
  /** A view of this number and content. Its id follows from the number. */
  view(number: number, content: number): { id: string; view: V };
  /** The view after events. Absent: its views never change. */
  change?(view: V, content: number): V;
  /** Its fixed orders; the first is the default. */
  orders: string[];
  page(reader: SearchReader<V>, paging: Paging): Promise<{ ids: string[]; nextPageToken: string }>;
}

interface Paging {
  orderBy: string;
  pageSize: number;
  pageToken: string;
}

/** Times of which many are the same. */
const time = (number: number) => new Date(Date.UTC(2026, 0, 1) + Math.floor(number / 3));
const pounds = (minorUnits: number) => ({ minorUnits: BigInt(minorUnits), currency: 'GBP' });
/** Ids whose order is not that of the numbers. */
const idOf = (number: number) => `${(number * 7919) % 1009}-${number}`;

async function answer<A>(service: Service, method: string, request: object): Promise<A> {
  return (await service.handlers[method]!(request as never, testCall())) as A;
}

const stock: ListedViews<StockItem> = {
  projection: stockDashboard,
  view: (number, content) => {
    const id = idOf(number);
    return { id, view: StockItem.fromPartial({ productId: id, kind: 'standard', available: BigInt(content) }) };
  },
  change: (view, content) => ({ ...view, available: BigInt(content), onHand: BigInt(content) }),
  orders: ['', 'product_id'],
  async page(views, paging) {
    const request = ListStockItemsRequest.fromPartial(paging);
    const { stockItems, nextPageToken } = await answer<{ stockItems: StockItem[]; nextPageToken: string }>(
      inventoryQueryService({ views }),
      'listStockItems',
      request,
    );
    return { ids: stockItems.map(({ productId }) => productId), nextPageToken };
  },
};

const apiKeys: ListedViews<ApiKey> = {
  projection: apiKeysView,
  view: (number) => {
    const id = idOf(number);
    return { id, view: ApiKey.fromPartial({ apiKeyId: id, owner: 'm', createTime: time(number) }) };
  },
  change: (view, content) => ({ ...view, updateTime: time(content), revokeTime: time(content) }),
  orders: [''],
  async page(views, { pageSize, pageToken }) {
    const request = ListApiKeysRequest.fromPartial({ pageSize, pageToken, owner: 'm' });
    const { apiKeys: found, nextPageToken } = await answer<{ apiKeys: ApiKey[]; nextPageToken: string }>(
      credentialQueryService({ views, aggregates: {} as never, clock: () => new Date() }),
      'listApiKeys',
      request,
    );
    return { ids: found.map(({ apiKeyId }) => apiKeyId), nextPageToken };
  },
};

const orders: ListedViews<Order> = {
  projection: orderDetails,
  view: (number) => {
    const id = idOf(number);
    return { id, view: Order.fromPartial({ orderId: id, customerId: 'c', status: 1, createTime: time(number) }) };
  },
  change: (view, content) => ({ ...view, status: (content % 7) as Order['status'], updateTime: time(content) }),
  orders: ['', 'create_time desc', 'create_time'],
  async page(views, paging) {
    const request = ListOrdersRequest.fromPartial({ ...paging, customerId: 'c' });
    const { orders: found, nextPageToken } = await answer<{ orders: Order[]; nextPageToken: string }>(
      orderQueryService({ views, openTexts: async (texts) => texts.map(({ text }) => text) }),
      'listOrders',
      request,
    );
    return { ids: found.map(({ orderId }) => orderId), nextPageToken };
  },
};

const sales: ListedViews<Sales> = {
  projection: salesByDay,
  view: (number, content) => {
    const day = `2026-01-${String(1 + (number % 3)).padStart(2, '0')}`;
    const country = `Country ${(number * 31) % 101}-${number}`;
    return { id: `${day}/${country}`, view: Sales.fromPartial({ day, country, placedOrders: BigInt(content) }) };
  },
  change: (view, content) => ({ ...view, soldOrders: BigInt(content) }),
  orders: [''],
  async page(views, { pageSize, pageToken }) {
    const request = ListSalesRequest.fromPartial({ pageSize, pageToken });
    const { sales: found, nextPageToken } = await answer<{ sales: Sales[]; nextPageToken: string }>(
      salesQueryService({ views }),
      'listSales',
      request,
    );
    return { ids: found.map(({ day, country }) => `${day}/${country}`), nextPageToken };
  },
};

const payments: ListedViews<Payment> = {
  projection: paymentStatus,
  view: (number, content) => {
    const id = idOf(number);
    const view = { paymentId: id, customerId: 'c', attempts: content, createTime: time(number) };
    return { id, view: Payment.fromPartial(view) };
  },
  change: (view, content) => ({ ...view, attempts: content, needsAttention: content % 2 === 0 }),
  orders: ['', 'create_time desc', 'create_time'],
  async page(views, paging) {
    const request = ListPaymentsRequest.fromPartial(paging);
    const { payments: found, nextPageToken } = await answer<{ payments: Payment[]; nextPageToken: string }>(
      paymentQueryService({ payments: views }),
      'listPayments',
      request,
    );
    return { ids: found.map(({ paymentId }) => paymentId), nextPageToken };
  },
};

const shipments: ListedViews<Shipment> = {
  projection: shipmentsView,
  view: (number) => {
    const id = idOf(number);
    return { id, view: Shipment.fromPartial({ shipmentId: id, customerId: 'c', createTime: time(number) }) };
  },
  change: (view, content) => ({ ...view, carrier: `carrier ${content}`, updateTime: time(content) }),
  orders: ['', 'create_time desc', 'create_time'],
  async page(views, paging) {
    const request = ListShipmentsRequest.fromPartial({ ...paging, customerId: 'c' });
    const { shipments: found, nextPageToken } = await answer<{ shipments: Shipment[]; nextPageToken: string }>(
      shippingQueryService({ aggregates: {} as never, views }),
      'listShipments',
      request,
    );
    return { ids: found.map(({ shipmentId }) => shipmentId), nextPageToken };
  },
};

const wallets: ListedViews<Wallet> = {
  projection: walletBalances,
  view: (number, content) => {
    const id = idOf(number);
    return { id, view: Wallet.fromPartial({ walletId: id, customerId: 'c', balance: pounds(content) }) };
  },
  change: (view, content) => ({ ...view, balance: pounds(content) }),
  orders: ['', 'wallet_id'],
  async page(views, paging) {
    const request = ListWalletsRequest.fromPartial({ ...paging, currency: 'GBP' });
    const { wallets: found, nextPageToken } = await answer<{ wallets: Wallet[]; nextPageToken: string }>(
      walletQueryService({ wallets: views, transactions: fixedViews({}), aggregates: {} as never }),
      'listWallets',
      request,
    );
    return { ids: found.map(({ walletId }) => walletId), nextPageToken };
  },
};

const transactions: ListedViews<Transaction> = {
  projection: walletTransactions,
  // All of one millisecond, with ids in another order than their events'.
  view: (number, content) => {
    const id = idOf(number);
    const sequence = BigInt(number + 1);
    const view = { transactionId: id, walletId: 'w', sequence, amount: pounds(content), createTime: time(0) };
    return { id, view: Transaction.fromPartial(view) };
  },
  orders: ['', 'create_time desc', 'create_time'],
  async page(views, paging) {
    const request = ListTransactionsRequest.fromPartial({ ...paging, walletId: 'w' });
    const own = fixedViews({ w: Wallet.fromPartial({ walletId: 'w', customerId: 'c' }) });
    const { transactions: found, nextPageToken } = await answer<{
      transactions: Transaction[];
      nextPageToken: string;
    }>(walletQueryService({ wallets: own, transactions: views, aggregates: {} as never }), 'listTransactions', request);
    return { ids: found.map(({ transactionId }) => transactionId), nextPageToken };
  },
};

const products: ListedViews<Product> = {
  projection: productSearch,
  searches: true,
  view: (number, content) => {
    const id = idOf(number);
    const view = { productId: id, title: `Mug ${content}`, price: pounds(content), createTime: time(number) };
    return { id, view: Product.fromPartial(view) };
  },
  change: (view, content) => ({ ...view, title: `Mug ${content}`, price: pounds(content), available: BigInt(content) }),
  orders: ['', 'create_time', 'create_time desc'],
  async page(reader, paging) {
    const { products: found, nextPageToken } = await answer<{ products: Product[]; nextPageToken: string }>(
      catalogQueryService({ products: reader, interest: { saw() {}, of: async () => 0 } }),
      'searchProducts',
      SearchProductsRequest.fromPartial(paging),
    );
    return { ids: found.map(({ productId }) => productId), nextPageToken };
  },
};

/** By the path of the method. */
// biome-ignore lint/suspicious/noExplicitAny: each has views of its own
export const lists: Record<string, ListedViews<any>> = {
  '/caudal.catalog.v1.CatalogQueryService/SearchProducts': products,
  '/caudal.credentials.v1.CredentialQueryService/ListApiKeys': apiKeys,
  '/caudal.inventory.v1.InventoryQueryService/ListStockItems': stock,
  '/caudal.orders.v1.OrderQueryService/ListOrders': orders,
  '/caudal.orders.v1.SalesQueryService/ListSales': sales,
  '/caudal.payments.v1.PaymentQueryService/ListPayments': payments,
  '/caudal.payments.v1.WalletQueryService/ListTransactions': transactions,
  '/caudal.payments.v1.WalletQueryService/ListWallets': wallets,
  '/caudal.shipping.v1.ShippingQueryService/ListShipments': shipments,
};
