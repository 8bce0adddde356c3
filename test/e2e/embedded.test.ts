/** The whole system as `npm start` runs it: one process on an embedded PostgreSQL. */
import { joinEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { Client } from 'pg';
import type { Json } from './api.ts';
import { type Carrier, describeCarriers, openCarrier } from './carriers-behaviour.ts';
import { describeErasure } from './erasure-behaviour.ts';
import { describeOrders } from './orders-behaviour.ts';
import { describeParcelSearch } from './parcel-search-behaviour.ts';
import { describeReads } from './reads-behaviour.ts';
import { describeReturns } from './returns-behaviour.ts';
import { describeShipments } from './shipments-behaviour.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { describeTracking } from './tracking-behaviour.ts';
import { balanceOf, deliver, newCustomer, newProduct, orderAt, orderConfirmed, placeOrder, stockOf } from './world.ts';

let system: System;
let carrier: Carrier;

beforeAll(async () => {
  carrier = await openCarrier();
  system = await startSystem({ form: 'embedded', env: () => carrier.env });
}, 120_000);
afterAll(async () => {
  await system?.stop();
  carrier?.close();
}, 120_000);

describe('one process on embedded PostgreSQL', () => {
  describeOrders(() => system);
  describeShipments(() => system);
  describeTracking(() => system);
  describeParcelSearch(() => system);
  describeCarriers(
    () => system,
    () => carrier,
  );
  describeErasure(() => system);
  describeReads(() => system);
  describeReturns(() => system);

  const it = systemTest(() => system);

  it('works with a role that cannot change events, and records what operators do', async () => {
    const postgres = await joinEmbeddedPostgres(system.dataDirectory);
    const owner = new Client({ connectionString: postgres!.url });
    await owner.connect();
    try {
      const { rows } = await owner.query<{ name: string }>(
        "SELECT DISTINCT usename AS name FROM pg_stat_activity WHERE application_name LIKE 'caudal-%'",
      );
      expect(rows).toEqual([{ name: 'caudal_app' }]);
      for (const schema of ['orders', 'payments', 'caudal_audit'])
        for (const right of ['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) {
          const table = schema === 'caudal_audit' ? 'records' : 'events';
          const can = await owner.query(
            `SELECT has_table_privilege('caudal_app', '${schema}.${table}', '${right}') AS can`,
          );
          expect([schema, right, can.rows[0].can]).toEqual([schema, right, false]);
        }
    } finally {
      await owner.end();
    }
    const customerId = await newCustomer(system.api, 100);
    const { body } = await system.api.call('ListAuditRecords', { resource: customerId, kind: 'AUDIT_KIND_ACT' });
    const begun = body.auditRecords.filter(({ outcome }: Json) => outcome === 'BEGUN');
    expect(begun.map(({ method }: Json) => method.split('/')[1]).sort()).toEqual([
      'CreateWallet',
      'Deposit',
      'MarkEmailVerified',
      'RegisterCustomer',
    ]);
    expect(await system.caudal('audit', 'verify')).toMatch(/ records are right/);
  }, 60_000);

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
