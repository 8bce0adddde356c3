/** The behaviour of orders, money and stock in every form of the system. */
import { newId } from '@caudal/kernel/ids.ts';
import { describe, expect } from '@jest/globals';
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
  unique,
} from './world.ts';

/** A card number, and a control character. */
const taken = 'wrong card 4111 1111 1111 1111\u0007';

export function describeOrders(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;

  describe('orders', () => {
    it('a whole order by wallet, to its delivery, in all views', async () => {
      const productId = await newProduct(api(), { price: 1_250, quantity: 10, title: 'Brass bedside lamp' });
      const customerId = await newCustomer(api(), 10_000);
      const { orderId, reply } = await placeOrder(api(), { customerId, productId, quantity: 2 });
      expect(reply.body).toMatchObject({
        orderId,
        customerId,
        status: 'ORDER_STATUS_PENDING',
        total: pounds(2_500),
        lines: [{ productId, quantity: '2', unitPrice: pounds(1_250), title: 'Brass bedside lamp' }],
      });

      await orderConfirmed(api(), orderId);
      expect(await stockOf(api(), productId)).toMatchObject({ onHand: '8', reserved: '0', available: '8' });
      expect((await api().call('GetShipment', { shipmentId: orderId })).body).toMatchObject({
        status: 'SHIPMENT_STATUS_CREATED',
        customerId,
        country: 'UK',
      });

      await deliver(api(), orderId);
      const order = await orderAt(api(), orderId, 'DELIVERED', ({ shipment }) => shipment.status === 'delivered');
      expect(order).toMatchObject({
        total: pounds(2_500),
        payment: { paymentId: orderId, status: 'succeeded', amount: pounds(2_500) },
        shipment: { shipmentId: orderId, status: 'delivered', carrier: 'Royal Mail', trackingNumber: `RM-${orderId}` },
      });
      // Views of their own: each may be a moment behind the order's.
      const paid = await until(
        'the payment',
        async () => (await api().call('GetPaymentStatus', { paymentId: orderId })).body,
        ({ status }) => status === 'PAYMENT_STATUS_SUCCEEDED',
      );
      expect(paid).toMatchObject({ walletId: customerId, amount: pounds(2_500) });
      await until(
        'the balance',
        () => balanceOf(api(), customerId),
        (balance) => balance === 7_500,
      );
      const transactions = await until(
        'the history',
        async () => (await api().call('ListTransactions', { walletId: customerId })).body.transactions,
        ({ length }) => length > 1,
      );
      expect(transactions).toMatchObject([
        { kind: 'payment', amount: pounds(-2_500), balance: pounds(7_500), reference: orderId },
        { kind: 'deposit', amount: pounds(10_000), balance: pounds(10_000), reference: 'first money' },
      ]);
      const { orders } = (await api().call('ListOrders', { customerId })).body;
      expect(orders).toMatchObject([{ orderId, status: 'ORDER_STATUS_DELIVERED' }]);
    });

    it('a whole order by card', async () => {
      const productId = await newProduct(api(), { price: 999, quantity: 3 });
      const customerId = await newCustomer(api(), 0);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 3, card: 'tok_approved' });
      await orderConfirmed(api(), orderId);
      await deliver(api(), orderId);
      await orderAt(api(), orderId, 'DELIVERED');
      const payment = (await api().call('GetPaymentStatus', { paymentId: orderId })).body;
      expect(payment).toMatchObject({ status: 'PAYMENT_STATUS_SUCCEEDED', amount: pounds(2_997), walletId: '' });
      expect(payment.gatewayReference).toMatch(/^sandbox-/);
      expect(await stockOf(api(), productId)).toMatchObject({ onHand: '0', available: '0' });
    });

    it('too little stock: rejected, and no money or stock is kept', async () => {
      const productId = await newProduct(api(), { quantity: 2 });
      const customerId = await newCustomer(api(), 10_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 3 });
      expect(await orderAt(api(), orderId, 'REJECTED')).toMatchObject({ reason: 'INSUFFICIENT_STOCK' });
      expect(await stockOf(api(), productId)).toMatchObject({ onHand: '2', reserved: '0', available: '2' });
      expect(await balanceOf(api(), customerId)).toBe(10_000);
    });

    it('too little money: rejected, and the pieces are available again', async () => {
      const productId = await newProduct(api(), { price: 5_000, quantity: 2 });
      const customerId = await newCustomer(api(), 4_999);
      const { orderId } = await placeOrder(api(), { customerId, productId });
      expect(await orderAt(api(), orderId, 'REJECTED')).toMatchObject({
        reason: 'INSUFFICIENT_FUNDS',
        payment: { status: 'failed' },
      });
      expect(await balanceOf(api(), customerId)).toBe(4_999);
      await until(
        'its pieces are available',
        () => stockOf(api(), productId),
        ({ onHand, reserved, available }) => onHand === '2' && reserved === '0' && available === '2',
      );
    });

    it('a declined card: rejected, and the pieces are available again', async () => {
      const productId = await newProduct(api(), { quantity: 2 });
      const customerId = await newCustomer(api(), 0);
      const { orderId } = await placeOrder(api(), { customerId, productId, card: 'tok_declined' });
      expect(await orderAt(api(), orderId, 'REJECTED')).toMatchObject({ reason: 'CARD_DECLINED' });
      await until(
        'its pieces are available',
        () => stockOf(api(), productId),
        ({ available }) => available === '2',
      );
    });

    it('cancelled before it is shipped: money and pieces return', async () => {
      const productId = await newProduct(api(), { price: 3_000, quantity: 5 });
      const customerId = await newCustomer(api(), 10_000);
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 2 });
      await orderConfirmed(api(), orderId);
      expect(await balanceOf(api(), customerId)).toBe(4_000);

      const { token } = await api().call('CancelOrder', { orderId, reason: 'changed my mind' });
      const { status } = (await api().call('GetOrder', { orderId }, { after: token })).body;
      expect(status).toMatch(/CANCELL(ING|ED)$/);
      await orderAt(api(), orderId, 'CANCELLED', ({ payment, shipment }) => {
        return payment.status === 'refunded' && shipment.status === 'cancelled';
      });
      await until(
        'the money has returned',
        () => balanceOf(api(), customerId),
        (balance) => balance === 10_000,
      );
      await until(
        'the pieces have returned',
        () => stockOf(api(), productId),
        ({ onHand, reserved, available }) => onHand === '5' && reserved === '0' && available === '5',
      );
    });

    it('cancelled with a text that only an earlier version takes: money and pieces return all the same', async () => {
      const productId = await newProduct(api(), { price: 3_000, quantity: 5 });
      const customerId = await newCustomer(api(), 10_000);
      // A service may say what versions before have taken, so this makes the events that they have left.
      const earlier = api().as(await system().token({ subject: 'service:earlier' }));
      const order = { ...orderOf({ customerId, productId, quantity: 2 }), attributes: { note: taken }, country: taken };
      expect((await api().send('PlaceOrder', order)).body.reason).toBe('INVALID_REQUEST');
      const { orderId } = (await earlier.call('PlaceOrder', order)).body;
      await orderConfirmed(api(), orderId);
      expect((await api().send('CancelOrder', { orderId, reason: taken })).body.reason).toBe('INVALID_REQUEST');
      await earlier.call('CancelOrder', { orderId, reason: taken });
      await orderAt(api(), orderId, 'CANCELLED', ({ payment, shipment }) => {
        return payment.status === 'refunded' && shipment.status === 'cancelled';
      });
      await until(
        'the money has returned',
        () => balanceOf(api(), customerId),
        (balance) => balance === 10_000,
      );
      await until(
        'the pieces have returned',
        () => stockOf(api(), productId),
        ({ onHand, reserved, available }) => onHand === '5' && reserved === '0' && available === '5',
      );
    });

    it('cancelled after it has shipped: refused, whether or not the order knows that yet', async () => {
      const productId = await newProduct(api());
      const customerId = await newCustomer(api());
      const known = (await placeOrder(api(), { customerId, productId })).orderId;
      await orderConfirmed(api(), known);
      await api().call('DispatchShipment', { shipmentId: known, carrier: 'Royal Mail', trackingNumber: '1' });
      await orderAt(api(), known, 'SHIPPED');
      const refusal = await api().send('CancelOrder', { orderId: known });
      expect(refusal).toMatchObject({ status: 400, body: { reason: 'ORDER_NOT_CANCELLABLE' } });

      const racing = (await placeOrder(api(), { customerId, productId })).orderId;
      await orderConfirmed(api(), racing);
      await api().call('DispatchShipment', { shipmentId: racing, carrier: 'Royal Mail', trackingNumber: '2' });
      const raced = await api().send('CancelOrder', { orderId: racing });
      expect([200, 400]).toContain(raced.status);
      await api().call('DeliverShipment', { shipmentId: racing });
      await orderAt(api(), racing, 'DELIVERED');
      await until(
        'the payment',
        async () => (await api().call('GetPaymentStatus', { paymentId: racing })).body.status,
        (status) => status === 'PAYMENT_STATUS_SUCCEEDED',
      );
    });

    it('the same request id gets the first answer; with other content it is refused', async () => {
      const productId = await newProduct(api(), { quantity: 5 });
      const customerId = await newCustomer(api());
      const request = { requestId: newId(), ...orderOf({ customerId, productId }) };
      delete request.orderId;
      const [first, again] = [await api().call('PlaceOrder', request), await api().call('PlaceOrder', request)];
      expect(again.body).toEqual(first.body);
      expect(again.token).toBe(first.token);
      await orderConfirmed(api(), first.body.orderId);
      // The answer is the first one, in whatever state the order is now.
      expect((await api().call('PlaceOrder', request)).body).toEqual(first.body);
      expect((await api().call('ListOrders', { customerId })).body.orders).toHaveLength(1);

      const other = await api().send('PlaceOrder', { ...request, country: 'France' });
      expect(other).toMatchObject({ status: 422, body: { reason: 'REQUEST_ID_REUSED' } });
    });

    it('an Idempotency-Key is the request id: of two deposits with it, one is booked', async () => {
      const walletId = await newCustomer(api(), 0);
      const deposit = { walletId, amount: pounds(5) };
      const headers = { 'idempotency-key': `"till 7, receipt ${newId()}"` };
      const [first, again] = [
        await api().send('Deposit', deposit, { headers }),
        await api().send('Deposit', deposit, { headers }),
      ];
      expect([first.status, again.status]).toEqual([200, 200]);
      expect(again.body).toEqual(first.body);
      const { body } = await api().call('GetWallet', { walletId }, { after: again.token });
      expect(body.balance).toEqual(pounds(5));
      const other = await api().send('Deposit', { ...deposit, amount: pounds(6) }, { headers });
      expect(other).toMatchObject({ status: 422, body: { reason: 'REQUEST_ID_REUSED' } });
    });

    it('sent twice at the same moment, a request is done once', async () => {
      const customerId = await newCustomer(api(), 0);
      const deposit = { requestId: newId(), walletId: customerId, amount: pounds(700) };
      const replies = await Promise.all(Array.from({ length: 8 }, () => api().call('Deposit', deposit)));
      expect(new Set(replies.map(({ body }) => JSON.stringify(body))).size).toBe(1);
      expect(await balanceOf(api(), customerId, replies[0]!.token)).toBe(700);
    });
  });

  describe('wallets', () => {
    it('history, and the balance at a time in the past', async () => {
      const walletId = await newCustomer(api(), 1_000);
      const before = (await api().call('GetWallet', { walletId, atTime: new Date().toISOString() })).body;
      expect(before.balance).toEqual(pounds(1_000));
      const moment = before.updateTime;
      await api().call('Withdraw', { walletId, amount: pounds(300), reference: 'cash' });
      const { token } = await api().call('Deposit', { walletId, amount: pounds(50), reference: 'found' });

      const past = (await api().call('GetWallet', { walletId, atTime: moment })).body;
      expect(past).toMatchObject({ walletId, balance: pounds(1_000), updateTime: moment });
      expect(await balanceOf(api(), walletId, token)).toBe(750);
      const early = await api().send('GetWallet', { walletId, atTime: '2001-01-01T00:00:00Z' });
      expect(early.status).toBe(404);
      const { transactions } = (await api().call('ListTransactions', { walletId }, { after: token })).body;
      expect(transactions).toMatchObject([
        { kind: 'deposit', amount: pounds(50), balance: pounds(750), reference: 'found' },
        { kind: 'withdrawal', amount: pounds(-300), balance: pounds(700), reference: 'cash' },
        { kind: 'deposit', amount: pounds(1_000), balance: pounds(1_000), reference: 'first money' },
      ]);
    });

    it("a transfer arrives once; one that can't arrive is refused", async () => {
      const [from, to] = [await newCustomer(api(), 1_000), await newCustomer(api(), 0)];
      const sent = await api().call('Transfer', {
        walletId: from,
        toWalletId: to,
        amount: pounds(400),
        reference: 'lunch',
      });
      expect(sent.body.balance).toEqual(pounds(600));
      await until(
        'the money arrives',
        () => balanceOf(api(), to),
        (balance) => balance === 400,
      );
      const transactions = await until(
        'the history, a view of its own, has it too',
        async () => (await api().call('ListTransactions', { walletId: to })).body.transactions,
        ({ length }) => length > 0,
      );
      expect(transactions).toMatchObject([{ kind: 'transfer_in', amount: pounds(400), note: 'lunch' }]);

      await api().call('FreezeWallet', { walletId: to, reason: 'lost' });
      const frozen = await api().send('Transfer', { walletId: from, toWalletId: to, amount: pounds(100) });
      expect(frozen).toMatchObject({ status: 400, body: { reason: 'WALLET_FROZEN' } });
      expect([await balanceOf(api(), from), await balanceOf(api(), to)]).toEqual([600, 400]);
      const tooMuch = await api().send('Transfer', { walletId: from, toWalletId: to, amount: pounds(601) });
      expect(tooMuch).toMatchObject({ status: 400, body: { reason: 'INSUFFICIENT_FUNDS' } });
    });
  });

  it('a refund by hand pays the whole payment back, once', async () => {
    const productId = await newProduct(api(), { price: 800 });
    const customerId = await newCustomer(api(), 1_000);
    const refundedOrder = async () => {
      const { orderId } = await placeOrder(api(), { customerId, productId });
      await orderConfirmed(api(), orderId);
      const refund = () => api().send('RefundPayment', { paymentId: orderId, reason: unique('goodwill') });
      // Twice at the same moment, and again after it is done.
      const answers = await Promise.all([refund(), refund()]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
      expect(answers.map(({ body }) => body.reason)).toContain('NOTHING_TO_REFUND');
      await until(
        'the refund',
        async () => (await api().call('GetPaymentStatus', { paymentId: orderId })).body.status,
        (status) => status === 'PAYMENT_STATUS_REFUNDED',
      );
      expect(await refund()).toMatchObject({ status: 400, body: { reason: 'NOTHING_TO_REFUND' } });
      return orderId;
    };
    const first = await refundedOrder();
    // After all of this has been done for another order, a second refund of the first one would be visible as well.
    const second = await refundedOrder();
    const kinds = await until(
      'the money is in the history',
      async () => {
        const { transactions } = (await api().call('ListTransactions', { walletId: customerId })).body;
        return transactions.map(({ kind, reference }: { kind: string; reference: string }) => [kind, reference]);
      },
      (known) => known.some(([kind, reference]: string[]) => kind === 'refund' && reference === second),
    );
    expect(kinds).toEqual([
      ['refund', second],
      ['payment', second],
      ['refund', first],
      ['payment', first],
      ['deposit', 'first money'],
    ]);
    expect(await balanceOf(api(), customerId)).toBe(1_000);
  });
}
