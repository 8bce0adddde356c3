/**
 * The resources that the fuzzers find: one or more of each kind, in most of their states. The ids are fixed, so that
 * the calls of a seed are the same in every run.
 */
import type { Api } from '../e2e/api.ts';
import { deliver, orderAt, orderConfirmed, pounds } from '../e2e/world.ts';

/** Ids of existing resources, by the names of the fields that refer to them: `product_id`. */
export type World = Readonly<Record<string, readonly string[]>>;

const products = ['fuzz-lamp', 'fuzz-mug', 'fuzz-gone'];
const customers = ['fuzz-ada', 'fuzz-bob', 'fuzz-cold'];
const reservations = ['fuzz-held', 'fuzz-committed', 'fuzz-released'];
const orders = ['fuzz-delivered', 'fuzz-confirmed', 'fuzz-cancelled', 'fuzz-rejected'];

/** Shipments that were split off, or may be. */
const parts = ['fuzz-confirmed~2', 'fuzz-confirmed~3'];

/** The ids that makeWorld uses. */
export const world: World = {
  product_id: products,
  customer_id: customers,
  wallet_id: customers,
  to_wallet_id: customers,
  reservation_id: reservations,
  order_id: orders,
  payment_id: orders,
  shipment_id: [...orders, ...parts],
  new_shipment_id: parts,
};

/** Makes the resources, and waits until all views have them. */
export async function makeWorld(api: Api): Promise<void> {
  for (const productId of products) {
    await api.call('CreateProduct', { productId, title: 'A thing', category: 'things', price: pounds(1_000) });
    const policy = productId === 'fuzz-mug' ? { kind: 'premium', policy: { tiers: 'gold' } } : {};
    await api.call('CreateStockItem', { productId, quantity: '100000', ...policy });
  }
  for (const customerId of customers) {
    const email = `${customerId}@example.com`;
    await api.call('RegisterCustomer', { customerId, displayName: 'Ada', email, country: 'GB' });
    await api.call('CreateWallet', { walletId: customerId, customerId, currency: 'GBP' });
    await api.call('Deposit', { walletId: customerId, amount: pounds(1_000_000), reference: 'first money' });
  }
  const lines = [{ productId: 'fuzz-lamp', quantity: '2' }];
  for (const reservationId of reservations) await api.call('ReserveStock', { reservationId, lines });
  await api.call('CommitReservation', { reservationId: 'fuzz-committed', lines });
  await api.call('ReleaseReservation', { reservationId: 'fuzz-released', lines });

  for (const orderId of orders) {
    const card = orderId === 'fuzz-rejected' ? 'tok_declined' : 'tok_approved';
    const paymentMethod = orderId === 'fuzz-delivered' ? { walletId: 'fuzz-ada' } : { cardToken: card };
    await api.call('PlaceOrder', { orderId, customerId: 'fuzz-ada', country: 'GB', lines, paymentMethod });
  }
  await orderAt(api, 'fuzz-rejected', 'REJECTED');
  for (const orderId of ['fuzz-delivered', 'fuzz-confirmed', 'fuzz-cancelled']) await orderConfirmed(api, orderId);
  await api.call('SplitShipment', {
    shipmentId: 'fuzz-confirmed',
    newShipmentId: 'fuzz-confirmed~2',
    lines: [{ productId: 'fuzz-lamp', quantity: '1' }],
  });
  await deliver(api, 'fuzz-delivered');
  await orderAt(api, 'fuzz-delivered', 'DELIVERED');
  await api.call('CancelOrder', { orderId: 'fuzz-cancelled', reason: 'changed my mind' });
  await orderAt(api, 'fuzz-cancelled', 'CANCELLED');
  await api.call('FreezeWallet', { walletId: 'fuzz-cold', reason: 'under review' });
  await api.call('DiscontinueProduct', { productId: 'fuzz-gone' });
}
