/** Returns, refunds in parts, the price guard and relisting, in every form of the system. */
import { newId } from '@caudal/kernel/ids.ts';
import { describe, expect } from '@jest/globals';
import type { Json } from './api.ts';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import {
  balanceOf,
  deliver,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  orderOf,
  placeOrder,
  pounds,
  stockOf,
} from './world.ts';

export function describeReturns(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;

  /** Waits until the order's view has this many returns, all of this status. */
  const returned = (orderId: string, count: number, status = 'REFUNDED'): Promise<Json> =>
    until(
      `${count} returns of ${orderId} are ${status}`,
      async () => (await api().send('GetOrder', { orderId })).body,
      ({ returns }) =>
        returns?.length === count && returns.every((one: Json) => one.status === `ORDER_RETURN_STATUS_${status}`),
    );
  const balanceAt = (customerId: string, minorUnits: number) =>
    until(
      `${minorUnits} in the wallet`,
      () => balanceOf(api(), customerId),
      (balance) => balance === minorUnits,
    );
  const onHandAt = (productId: string, onHand: string) =>
    until(
      `${onHand} of ${productId} on hand`,
      () => stockOf(api(), productId),
      (stock) => stock.onHand === onHand && stock.available === onHand,
    );

  describe('returns', () => {
    const pieceByPiece = async (card?: string) => {
      const productId = await newProduct(api(), { price: 333, quantity: 10 });
      const customerId = await newCustomer(api(), 1_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 3, ...(card && { card }) });
      const confirmed = await orderConfirmed(api(), orderId);
      expect(confirmed.reservationId).toBe(`${orderId}.1`);
      const giveBack = (quantity: number, more = {}) =>
        api().send('ReturnOrder', { orderId, lines: [{ productId, quantity: String(quantity) }], ...more });
      expect(await giveBack(1)).toMatchObject({ status: 400, body: { reason: 'ORDER_NOT_RETURNABLE' } });
      await deliver(api(), orderId);
      await orderAt(api(), orderId, 'DELIVERED');
      const requestId = newId();
      const first = await giveBack(1, { requestId });
      expect(first).toMatchObject({
        status: 200,
        body: { returns: [{ status: 'ORDER_RETURN_STATUS_REQUESTED', refund: pounds(333) }] },
      });
      expect((await giveBack(1, { requestId })).body).toEqual(first.body);
      const once = await returned(orderId, 1);
      expect(once).toMatchObject({
        lines: [{ returnedQuantity: '1' }],
        payment: { status: 'succeeded', paymentStatus: 'PAYMENT_STATUS_SUCCEEDED', refunded: pounds(333) },
        shipments: [{ shipmentStatus: 'SHIPMENT_STATUS_DELIVERED' }],
      });
      await onHandAt(productId, '8');
      expect(await giveBack(3)).toMatchObject({ status: 400, body: { reason: 'RETURN_TOO_LARGE' } });
      await giveBack(2);
      expect(await returned(orderId, 2)).toMatchObject({
        lines: [{ returnedQuantity: '3' }],
        payment: { status: 'refunded', refunded: pounds(999) },
      });
      await onHandAt(productId, '10');
      await balanceAt(customerId, 1_000);
      expect(await giveBack(1)).toMatchObject({ status: 400, body: { reason: 'RETURN_TOO_LARGE' } });
    };
    it('piece by piece, until none is left; paid from a wallet', () => pieceByPiece());
    it('piece by piece, until none is left; paid by card', () => pieceByPiece('tok_approved'));

    it('by the reservation, and then the order is cancelled: the rest goes back, and all of the money', async () => {
      const productId = await newProduct(api(), { price: 333, quantity: 10 });
      const customerId = await newCustomer(api(), 1_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 3 });
      const { reservationId } = await orderConfirmed(api(), orderId);
      const giveBack = () => api().send('ReturnStock', { reservationId, lines: [{ productId, quantity: '1' }] });
      expect((await giveBack()).status).toBe(200);
      expect((await giveBack()).status).toBe(200);
      await onHandAt(productId, '9');
      // By hand, a part of its price.
      await api().call('RefundPayment', { paymentId: orderId, amount: pounds(100), reason: 'goodwill' });
      await balanceAt(customerId, 101);
      await api().call('CancelOrder', { orderId });
      await orderAt(api(), orderId, 'CANCELLED');
      await onHandAt(productId, '10');
      await balanceAt(customerId, 1_000);
      expect(await giveBack()).toMatchObject({ status: 400, body: { reason: 'RETURN_TOO_LARGE' } });
      const refund = { paymentId: orderId, amount: pounds(1) };
      expect(await api().send('RefundPayment', refund)).toMatchObject({ body: { reason: 'NOTHING_TO_REFUND' } });
    });

    it('of an order that was sent in parts: what may still leave is refused; withdrawn, found and sent pieces count once', async () => {
      const productId = await newProduct(api(), { price: 100, quantity: 5 });
      const customerId = await newCustomer(api(), 1_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 5 });
      await orderConfirmed(api(), orderId);
      const lines = (quantity: number) => [{ productId, quantity: String(quantity) }];
      /** Returns pieces, and waits for the outcome. */
      const giveBack = async (returnId: string, quantity: number, status: string, more = {}): Promise<Json> => {
        await api().call('ReturnOrder', { orderId, returnId, lines: lines(quantity), ...more });
        const of = ({ returns }: Json) => returns?.find((one: Json) => one.returnId === returnId);
        const order = await until(
          `the return ${returnId} is ${status}`,
          async () => (await api().send('GetOrder', { orderId })).body,
          (body) => of(body)?.status === `ORDER_RETURN_STATUS_${status}`,
        );
        return of(order);
      };
      const rest = `${orderId}~2`;
      const last = `${orderId}~3`;
      const byMail = { carrier: 'Royal Mail', trackingNumber: 'RM-1' };
      await api().call('DispatchShipmentPart', { shipmentId: orderId, ...byMail, lines: lines(2) });
      await orderAt(api(), orderId, 'SHIPPED');
      expect(await giveBack('too-early', 3, 'REFUSED')).toMatchObject({ refusal: 'NOT_LEFT' });
      expect(await balanceOf(api(), customerId)).toBe(500);

      await api().call('SplitShipment', { shipmentId: rest, newShipmentId: last, lines: lines(1) });
      await api().call('WithdrawShipment', { shipmentId: rest, reason: 'damaged' });
      expect(await giveBack('withdrawn', 2, 'REFUNDED')).toMatchObject({ refund: pounds(200) });
      await onHandAt(productId, '2');

      await api().call('DispatchShipment', { shipmentId: last, ...byMail, trackingNumber: 'RM-2' });
      await api().call('MarkShipmentLost', { shipmentId: last, reason: 'no trace' });
      await api().call('RefundPayment', { paymentId: orderId, amount: pounds(100), reason: 'lost' });
      await balanceAt(customerId, 800);
      await api().call('DeliverShipment', { shipmentId: last });
      expect(await giveBack('found', 1, 'RETURNED', { refund: pounds(0) })).toMatchObject({ refund: pounds(0) });
      await onHandAt(productId, '3');
      expect(await balanceOf(api(), customerId)).toBe(800);

      await api().call('DeliverShipment', { shipmentId: orderId });
      expect(await giveBack('sent', 2, 'REFUNDED')).toMatchObject({ refund: pounds(200) });
      await onHandAt(productId, '5');
      await balanceAt(customerId, 1_000);
    });

    it('of more than the stock has out: refused, and nothing is refunded', async () => {
      const productId = await newProduct(api(), { price: 100, quantity: 5 });
      const customerId = await newCustomer(api(), 1_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 2 });
      const { reservationId } = await orderConfirmed(api(), orderId);
      await api().call('ReturnStock', { reservationId, lines: [{ productId, quantity: '2' }] });
      await deliver(api(), orderId);
      await orderAt(api(), orderId, 'DELIVERED');
      const back = { orderId, returnId: 'r1', lines: [{ productId, quantity: '1' }] };
      await api().call('ReturnOrder', back);
      expect(await api().send('ReturnOrder', back)).toMatchObject({ status: 409, body: { reason: 'RETURN_EXISTS' } });
      const { returns, lines } = await returned(orderId, 1, 'REFUSED');
      expect(returns).toMatchObject([{ refusal: 'RETURN_TOO_LARGE' }]);
      expect(lines).toMatchObject([{ returnedQuantity: '0' }]);
      expect(await balanceOf(api(), customerId)).toBe(800);
    });
  });

  it('an order is placed only at the prices that its buyer has seen', async () => {
    const productId = await newProduct(api(), { price: 500 });
    const customerId = await newCustomer(api());
    const request = { ...orderOf({ customerId, productId, quantity: 2 }), expectedTotal: pounds(1_000) };
    await api().call('SetPrice', { productId, price: pounds(501) });
    expect(await api().send('PlaceOrder', request)).toMatchObject({
      status: 400,
      body: {
        reason: 'PRICE_CHANGED',
        metadata: { expected_total: '1000', total: '1002', currency: 'GBP', unit_prices: `${productId}=501` },
      },
    });
    expect((await api().send('GetOrder', { orderId: request.orderId })).status).toBe(404);
    await api().call('PlaceOrder', { ...request, expectedTotal: pounds(1_002) });
    await orderConfirmed(api(), request.orderId);
  });

  it('a product that was off sale is ordered and found again', async () => {
    const productId = await newProduct(api(), { title: 'Returning lantern' });
    const customerId = await newCustomer(api());
    await api().call('DiscontinueProduct', { productId });
    const request = orderOf({ customerId, productId });
    expect(await api().send('PlaceOrder', request)).toMatchObject({ body: { reason: 'PRODUCT_NOT_SOLD' } });
    const { token, body } = await api().call('RelistProduct', { productId });
    expect(body.discontinued).toBe(false);
    await api().call('PlaceOrder', request);
    const { products } = (await api().call('SearchProducts', { query: 'returning lantern' }, { after: token })).body;
    expect(products.map((one: Json) => one.productId)).toContain(productId);
  });
}
