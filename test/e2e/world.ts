/** Resources for tests: products in stock, customers with money, orders. */
import { randomBytes } from 'node:crypto';
import type { Api, Json, Reply } from './api.ts';
import { until } from './wait.ts';

let made = 0;

/** An id that no other test has. */
export function unique(prefix: string): string {
  made += 1;
  return `${prefix}-${made}-${randomBytes(4).toString('hex')}`;
}

export const pounds = (minorUnits: number | string) => ({ minorUnits: String(minorUnits), currency: 'GBP' });

export interface NewProduct {
  productId?: string;
  price?: number;
  quantity?: number;
  title?: string;
  category?: string;
  description?: string;
}

/** Makes a product with a price and pieces, and waits until all views have it; returns its id. */
export async function newProduct(api: Api, product: NewProduct = {}): Promise<string> {
  const { productId = unique('lamp'), price = 1_000, quantity = 10, title = 'Desk lamp', ...texts } = product;
  const created = await api.call('CreateProduct', { productId, title, price: pounds(price), ...texts });
  const stock = await api.call('CreateStockItem', { productId, quantity: String(quantity) });
  await api.call('GetProduct', { productId }, { after: created.token });
  await api.call('GetStockItem', { productId }, { after: stock.token });
  return productId;
}

/** Makes a customer with a wallet of the same id and money in it, and waits until all views have it; returns the id. */
export async function newCustomer(api: Api, balance = 10_000): Promise<string> {
  const customerId = unique('ada');
  const email = `${customerId}@example.com`;
  await api.call('RegisterCustomer', { customerId, displayName: 'Ada Lovelace', email, country: 'UK' });
  await api.call('MarkEmailVerified', { customerId, email });
  let { token } = await api.call('CreateWallet', { walletId: customerId, customerId, currency: 'GBP' });
  if (balance > 0) {
    const deposit = { walletId: customerId, amount: pounds(balance), reference: 'first money' };
    ({ token } = await api.call('Deposit', deposit));
  }
  await api.call('ListTransactions', { walletId: customerId }, { after: token });
  return customerId;
}

export interface NewOrder {
  customerId: string;
  productId: string;
  quantity?: number;
  /** The order is paid from the wallet if absent. */
  card?: string;
}

/** The request of PlaceOrder. */
export function orderOf({ customerId, productId, quantity = 1, card }: NewOrder): Json {
  return {
    orderId: unique('order'),
    customerId,
    country: 'UK',
    lines: [{ productId, quantity: String(quantity) }],
    paymentMethod: card ? { cardToken: card } : { walletId: customerId },
  };
}

export async function placeOrder(api: Api, order: NewOrder): Promise<{ orderId: string; reply: Reply }> {
  const request = orderOf(order);
  const reply = await api.call('PlaceOrder', request);
  return { orderId: request.orderId, reply };
}

/** Waits until the order's view has this status, and returns it. */
export function orderAt(api: Api, orderId: string, status: string, there = (_order: Json) => true): Promise<Json> {
  return until(
    `order ${orderId} at ${status}`,
    async () => (await api.send('GetOrder', { orderId })).body,
    (order) => order.status === `ORDER_STATUS_${status}` && there(order),
  );
}

/** Waits until the order is confirmed and its shipment exists. */
export const orderConfirmed = (api: Api, orderId: string): Promise<Json> =>
  orderAt(api, orderId, 'CONFIRMED', ({ shipment }) => shipment?.status === 'created');

/** Ships the order and delivers it. */
export async function deliver(api: Api, orderId: string): Promise<void> {
  await api.call('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail', trackingNumber: `RM-${orderId}` });
  await api.call('DeliverShipment', { shipmentId: orderId });
}

/** Waits until tracking knows the parcel of an order that was sent, and names it as requests do. */
export async function parcelOf(api: Api, orderId: string): Promise<{ carrier: string; tracking_number: string }> {
  const carrier = 'Royal Mail';
  const trackingNumber = `RM-${orderId}`;
  const read = () => api.send('GetParcel', { carrier, trackingNumber });
  await until(
    `the parcel of ${orderId} is known`,
    read,
    ({ status, body }) => status === 200 && body.orderId === orderId,
  );
  return { carrier, tracking_number: trackingNumber };
}

export const stockOf = async (api: Api, productId: string, after?: string): Promise<Json> =>
  (await api.call('GetStockItem', { productId }, { after })).body;

export const balanceOf = async (api: Api, walletId: string, after?: string): Promise<number> =>
  Number((await api.call('GetWallet', { walletId }, { after })).body.balance.minorUnits);
