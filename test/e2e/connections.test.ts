/** A process never opens more connections to PostgreSQL than the number with which a deployment is planned. */
import { connectionsOf } from '@caudal/server/connections.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { roles } from '@caudal/server/settings/settings.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { expect, test } from '@jest/globals';
import { Client } from 'pg';
import { type Form, type System, startSystem } from './system.ts';
import { isEnd, planOrders, runOrders } from './traffic.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder } from './world.ts';

const poolSize = 5;
const names = contexts.map(({ name }) => name);
const mostOf = (...of: string[]) =>
  connectionsOf({ CAUDAL_ROLES: of as never, CAUDAL_CONTEXTS: names, CAUDAL_POOL_SIZE: poolSize });

/** The most sessions that were seen at a time: in all, and by the name that they give themselves. */
async function watchSessions(url: string) {
  const client = new Client({ connectionString: url });
  await client.connect();
  const most: Record<string, number> = {};
  let total = 0;
  let ended = false;
  const running = (async () => {
    while (!ended) {
      const { rows } = await client.query<{ name: string; n: number }>(
        `SELECT application_name AS name, count(*)::int AS n FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' GROUP BY 1`,
      );
      for (const { name, n } of rows) most[name] = Math.max(most[name] ?? 0, n);
      total = Math.max(
        total,
        rows.reduce((sum, { n }) => sum + n, 0),
      );
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await client.end();
  })();
  return async () => {
    ended = true;
    await running;
    return { total, most };
  };
}

/** Orders at once by 40 callers, many of one product, beside queries; then all processes end. */
async function underLoad(system: System) {
  const stop = await watchSessions(system.stores!.databaseUrl);
  const { api } = system;
  const plan = await planOrders(api, 60);
  const hot = await newProduct(api, { price: 100, quantity: 400 });
  const buyers = await Promise.all(Array.from({ length: 40 }, () => newCustomer(api, 10_000)));
  const [ended] = await Promise.all([
    runOrders(api, plan, () => {}),
    ...buyers.map(async (customerId) => {
      for (let round = 0; round < 3; round++) {
        const { orderId } = await placeOrder(api, { customerId, productId: hot });
        await orderConfirmed(api, orderId);
      }
    }),
  ]);
  expect(ended.every(isEnd)).toBe(true);
  for (const part of system.parts) expect(await part.end('SIGTERM')).toBe(0);
  return stop();
}

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'connections to PostgreSQL', () => {
  async function measured(form: Form, withoutViewStores = false) {
    const system = await startSystem({
      form,
      env: () => ({
        CAUDAL_POOL_SIZE: String(poolSize),
        ...(withoutViewStores && { MONGODB_URL: '', ELASTICSEARCH_URL: '' }),
      }),
    });
    try {
      return await underLoad(system);
    } catch (error) {
      throw system.explain(error);
    } finally {
      await system.stop();
    }
  }

  test('of one process with all roles, its views in PostgreSQL too', async () => {
    const { total, most } = await measured('stores', true);
    const allowed = mostOf(...roles);
    expect(total).toBeLessThanOrEqual(allowed.total);
    // The pool and the appends have the process's name.
    const name = `caudal-${roles.join('-')}`;
    expect(most[name]).toBeLessThanOrEqual(allowed.pool + allowed.append);
    // All that is counted is also used, so that the number is not too large.
    expect(most[name]).toBeGreaterThan(allowed.pool);
    expect(most['caudal-listen']).toBe(allowed.listen);
    expect(most['caudal-locks'] ?? 0).toBeLessThanOrEqual(allowed.locks);
  }, 180_000);

  test('of a process a role: those that append nothing have a pool and a listener only', async () => {
    const { total, most } = await measured('processes');
    const parts = [['command', 'jobs', 'worker'], ['query'], ['relay'], ['projector'], ['saga']];
    expect(total).toBeLessThanOrEqual(parts.reduce((sum, of) => sum + mostOf(...of).total, 0));
    for (const of of parts) {
      const { pool, append } = mostOf(...of);
      expect([of, most[`caudal-${of.join('-')}`]! <= pool + append]).toEqual([of, true]);
    }
    expect(most['caudal-listen']).toBeLessThanOrEqual(parts.length);
  }, 180_000);
});
