/** The whole system as `npm start` runs it: one process on an embedded PostgreSQL. */
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { describeErasure } from './erasure-behaviour.ts';
import { describeOrders } from './orders-behaviour.ts';
import { describeReads } from './reads-behaviour.ts';
import { describeReturns } from './returns-behaviour.ts';
import { describeShipments } from './shipments-behaviour.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { balanceOf, deliver, newCustomer, newProduct, orderAt, orderConfirmed, placeOrder, stockOf } from './world.ts';

let system: System;

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
}, 120_000);
afterAll(() => system?.stop(), 120_000);

describe('one process on embedded PostgreSQL', () => {
  describeOrders(() => system);
  describeShipments(() => system);
  describeErasure(() => system);
  describeReads(() => system);
  describeReturns(() => system);

  const it = systemTest(() => system);
  describe('keeps its data', () => {
    async function openOrder() {
      const productId = await newProduct(system.api, { price: 100, quantity: 5 });
      const customerId = await newCustomer(system.api, 1_000);
      const { orderId } = await placeOrder(system.api, { customerId, productId, quantity: 2 });
      return { productId, customerId, orderId };
    }

    async function finish({ productId, customerId, orderId }: Awaited<ReturnType<typeof openOrder>>) {
      await orderConfirmed(system.api, orderId);
      await deliver(system.api, orderId);
      await orderAt(system.api, orderId, 'DELIVERED');
      expect(await stockOf(system.api, productId)).toMatchObject({ onHand: '3', reserved: '0', available: '3' });
      expect(await balanceOf(system.api, customerId)).toBe(800);
    }

    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`stopped with ${signal} in the middle of an order, and started again`, async () => {
        const order = await openOrder();
        expect(await system.part('all').end(signal)).toBe(0);
        await system.part('all').start();
        await finish(order);
      }, 90_000);
    }

    it('killed in the middle of orders, and started again at once', async () => {
      const orders = await Promise.all(Array.from({ length: 5 }, openOrder));
      expect(await system.part('all').end('SIGKILL')).toBe('SIGKILL');
      const began = performance.now();
      await system.part('all').start();
      expect(performance.now() - began).toBeLessThan(20_000);
      for (const order of orders) await finish(order);
    }, 90_000);
  });
});
