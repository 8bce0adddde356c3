/**
 * Every entity of the contract. Contexts read each other's events through these, and never import each other's code.
 */
import { entity } from './entity.ts';
import { CartErasureEvent, CartEvent } from './gen/caudal/carts/v1/events.ts';
import { ProductEvent } from './gen/caudal/catalog/v1/events.ts';
import { ApiKeyEvent, KeyOwnerEvent, OwnerErasureEvent, RevocationEvent } from './gen/caudal/credentials/v1/events.ts';
import { CustomerEvent } from './gen/caudal/customers/v1/events.ts';
import { StockEvent } from './gen/caudal/inventory/v1/events.ts';
import { NotificationEvent, RecipientEvent } from './gen/caudal/notifications/v1/events.ts';
import { ErasureEvent, FulfilmentEvent, OrderEvent } from './gen/caudal/orders/v1/events.ts';
import { ApprovalEvent, PaymentEvent, WalletEvent } from './gen/caudal/payments/v1/events.ts';
import { ShipmentEvent } from './gen/caudal/shipping/v1/events.ts';
import { LinkErasureEvent, ParcelEvent } from './gen/caudal/tracking/v1/events.ts';

export const cart = entity('carts.cart', CartEvent);
export const cartErasure = entity('carts.erasure', CartErasureEvent);
export const product = entity('catalog.product', ProductEvent);
export const customer = entity('customers.customer', CustomerEvent);
export const apiKey = entity('credentials.key', ApiKeyEvent);
export const revocation = entity('credentials.revocation', RevocationEvent);
export const ownerErasure = entity('credentials.erasure', OwnerErasureEvent);
export const keyOwner = entity('credentials.owner', KeyOwnerEvent);
export const stock = entity('inventory.stock', StockEvent);
export const notification = entity('notifications.notification', NotificationEvent);
export const recipient = entity('notifications.recipient', RecipientEvent);
export const order = entity('orders.order', OrderEvent);
export const fulfilment = entity('orders.fulfilment', FulfilmentEvent);
export const ordersErasure = entity('orders.erasure', ErasureEvent);
export const approval = entity('payments.approval', ApprovalEvent);
export const payment = entity('payments.payment', PaymentEvent);
export const wallet = entity('payments.wallet', WalletEvent);
export const shipment = entity('shipping.shipment', ShipmentEvent);
export const parcel = entity('tracking.parcel', ParcelEvent);
export const linkErasure = entity('tracking.link_erasure', LinkErasureEvent);

/** All entities, for tools that show any event. */
export const entities = [
  cart,
  cartErasure,
  product,
  customer,
  apiKey,
  revocation,
  ownerErasure,
  keyOwner,
  stock,
  notification,
  recipient,
  order,
  fulfilment,
  ordersErasure,
  approval,
  payment,
  wallet,
  shipment,
  parcel,
  linkErasure,
];

/** The events of an entity: `EventOf<typeof stock>`. */
export type EventOf<T> = T extends { encode(event: infer E): unknown } ? E : never;
