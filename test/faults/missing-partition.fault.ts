/**
 * The coming month begins, and its partition is missing in every log. PostgreSQL and Caudal use one clock, which is a
 * few minutes before the end of the month. See README, One fault at a time.
 */
import { newId } from '@caudal/kernel/ids.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { afterAll, afterEach, beforeAll, expect } from '@jest/globals';
import { Client } from 'pg';
import { borrow, type Kit } from '../../scripts/kit.ts';
import type { Api } from '../e2e/api.ts';
import { freePorts } from '../e2e/part.ts';
import type { DatabaseRole } from '../e2e/stores.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectBalanced, planOrders, runOrders } from '../e2e/traffic.ts';
import { until } from '../e2e/wait.ts';
import { balanceOf, newCustomer, newProduct, orderConfirmed, orderOf, stockOf } from '../e2e/world.ts';
import { expectAllRight } from './all-right.ts';
import { describeNeeding, type Needs } from './describe-needing.ts';
import { type FakeClock, findFaketime, makeClock } from './fake-clock.ts';
import { alertExpression, partsOf, readMetrics } from './metrics.ts';

const library = findFaketime();
const needs: Needs = {
  servers: ['rabbitmq', 'mongodb', 'elasticsearch', 'redis'],
  others: { 'faketime: apt-get install faketime': library !== undefined },
};
const failures = 'eventlog_maintenance_failures_total';
/** The test starts this long before the end of the month. It is shorter than any time-out of an order. */
const minutesMs = 5 * 60_000;
/** A server that makes no table for an application, not even by a function of the owner's. */
const refuseTables = `
  CREATE FUNCTION public.refuse_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF session_user <> (SELECT rolname FROM pg_database JOIN pg_roles r ON r.oid = datdba WHERE datname = current_database())
      THEN RAISE EXCEPTION 'no tables for %', session_user USING ERRCODE = 'insufficient_privilege';
    END IF;
  END $$;
  CREATE EVENT TRIGGER refuse_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.refuse_tables()`;

describeNeeding(needs, 'the partition of the coming month is missing', () => {
  let postgres: Kit;
  let clock: FakeClock;
  let gateway: SandboxGateway;
  let system: System;
  let admin: Client;
  let api: Api;
  let metricsPort: number;

  beforeAll(async () => {
    clock = makeClock(library!);
    clock.set(beforeStrike(minutesMs));
    postgres = await borrow(['postgres'], { ...process.env, ...clock.env });
    // Only for this test: jest gives each file an environment of its own.
    Object.assign(process.env, { POSTGRES_URL: postgres.variables.POSTGRES_URL });
    gateway = await startSandboxGateway();
  }, 120_000);

  afterAll(async () => {
    await gateway?.stop();
    await postgres?.giveBack();
    clock?.remove();
  }, 120_000);

  afterEach(async () => {
    await admin?.end();
    await system?.stop();
  }, 120_000);

  const it = systemTest(() => system);

  /**
   * Starts a system some minutes before the month ends, with this role of PostgreSQL and without the partitions of the
   * next month. `prepare` is run in its database before they are dropped.
   */
  async function startBeforeStrike(databaseRole: DatabaseRole, prepare = ''): Promise<void> {
    clock.set(beforeStrike(minutesMs));
    const { POSTGRES_URL } = postgres.variables;
    await until('it is some minutes before', monthOf(POSTGRES_URL!), (month) => month !== comingMonth());
    [metricsPort] = (await freePorts(1)) as [number];
    system = await startSystem({
      form: 'stores',
      databaseRole,
      env: () => ({
        ...clock.env,
        PAYMENTS_GATEWAY_URL: gateway.url,
        CAUDAL_METRICS_PORT: String(metricsPort),
        CAUDAL_TOKEN_MAX_LIFETIME: '90d',
      }),
    });
    // Valid for longer than the clock is ahead.
    api = system.api.as(await system.token({ subject: 'months', ttlSeconds: 90 * 86_400 }));
    admin = new Client({ connectionString: system.stores!.databaseUrl });
    await admin.connect();
    await admin.query(prepare);
    await dropComing();
  }

  /**
   * Drops the partitions. The job's first round begins with the process and may create them again, so it drops them
   * until they stay away.
   */
  async function dropComing(): Promise<void> {
    let since = performance.now();
    const drop = async () => {
      const there = Object.entries(await eventsOfMonth()).filter(([, count]) => count !== undefined);
      for (const [name] of there) await admin.query(`DROP TABLE ${name}.${comingMonth()}`);
      if (there.length > 0) since = performance.now();
      return performance.now() - since;
    };
    await until('the partitions stay away', drop, (quietMs) => quietMs > 2_000);
  }

  /** Lets the month begin in a moment. */
  async function strike(): Promise<void> {
    clock.set(beforeStrike(2_000));
    await until('the month begins', monthOf(system.stores!.databaseUrl), (month) => month === comingMonth());
  }

  /** How many events of the month each log has; undefined if a log has no partition for it. */
  async function eventsOfMonth(): Promise<Record<string, number | undefined>> {
    const found: Record<string, number | undefined> = {};
    for (const { name } of contexts) {
      const partition = `${name}.${comingMonth()}`;
      const [{ there }] = (await admin.query('SELECT to_regclass($1) IS NOT NULL AS there', [partition])).rows;
      found[name] = there ? Number((await admin.query(`SELECT count(*) FROM ${partition}`)).rows[0].count) : undefined;
    }
    return found;
  }

  const heads = async () => {
    const counts = contexts.map(({ name }) => `SELECT coalesce(max(position), 0) AS position FROM ${name}.events`);
    return (await admin.query(counts.join(' UNION ALL '))).rows.map(({ position }) => position).join();
  };

  /** Waits until nothing has been written for a second. */
  async function settledHeads(): Promise<Record<string, number>> {
    let last = { heads: '', since: 0 };
    await until('nothing is written any more', heads, (now) => {
      if (now !== last.heads) last = { heads: now, since: performance.now() };
      return performance.now() - last.since > 1_000;
    });
    return {};
  }

  it('an append creates it, while orders are in flight; the job creates the others', async () => {
    await startBeforeStrike('owner');
    const plan = await planOrders(api, 24);
    let struck: Promise<void> | undefined;
    const ended = await runOrders(api, plan, (count) => {
      if (count === 4) struck = strike();
    });
    await struck;
    await newProduct(api);
    await settledHeads();
    await expectBalanced(api, { plan, ended, ledger: gateway.ledger });
    expect(await eventsOfMonth()).toMatchObject({
      catalog: expect.any(Number),
      orders: expect.any(Number),
      customers: undefined,
    });

    await system.part('all').end('SIGTERM');
    await system.part('all').start();
    await until('all logs have it', eventsOfMonth, (found) =>
      Object.values(found).every((count) => count !== undefined),
    );
    await expectAllRight(system, { settledHeads });
  }, 120_000);

  it("and can't be created: the metric shows it before, appends are refused and not stored, and migrate repairs all", async () => {
    await startBeforeStrike('application', refuseTables);
    const { metrics, labels } = partsOf(alertExpression('CaudalMaintenanceFails'));
    expect([metrics, labels]).toEqual([[failures], ['domain']]);
    const failed = async () => {
      const sumOf = await readMetrics(metricsPort);
      return contexts.map(({ name }) => sumOf(failures, { domain: name }));
    };
    await system.part('all').end('SIGTERM');
    await system.part('all').start();
    await until('the metric shows that the job fails', failed, (counts) => counts.every((count) => count > 0));
    // Until the month begins this affects nothing.
    const productId = await newProduct(api, { price: 100, quantity: 5 });
    const customerId = await newCustomer(api, 1_000);

    await strike();
    const request = { requestId: newId(), ...orderOf({ customerId, productId }) };
    for (let attempt = 1; attempt <= 3; attempt++) {
      const began = performance.now();
      const { status, body, headers } = await api.send('PlaceOrder', request);
      expect([status, body.reason]).toEqual([503, 'DEPENDENCY_UNAVAILABLE']);
      expect(headers.get('retry-after')).not.toBeNull();
      expect(performance.now() - began).toBeLessThan(5_000);
      expect(await stockOf(api, productId)).toMatchObject({ available: '5' });
      expect(await balanceOf(api, customerId)).toBe(1_000);
    }
    expect((await admin.query('SELECT position FROM orders.events')).rows).toEqual([]);

    await system.caudal('migrate');
    await api.insist('PlaceOrder', request);
    await orderConfirmed(api, request.orderId);
    expect(await balanceOf(api, customerId)).toBe(900);
    expect(await eventsOfMonth()).toMatchObject({ orders: expect.any(Number), customers: 0 });
    await expectAllRight(system, { settledHeads });
  }, 120_000);
});

/** How far a clock must be ahead, in milliseconds, to show `ms` before the end of the month (UTC). */
function beforeStrike(ms: number): number {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) - ms - now.getTime();
}

/** The partition of the coming month, `events_2027_01`. */
function comingMonth(): string {
  const now = new Date();
  const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1));
  return `events_${first.toISOString().slice(0, 7).replace('-', '_')}`;
}

/** Reads the partition of PostgreSQL's current month. */
const monthOf = (url: string) => async () => {
  const text = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '\"events_\"YYYY_MM') AS month";
  return (await runSql<{ month: string }>(url, text))[0]?.month;
};

async function runSql<T extends object>(url: string, sql: string): Promise<T[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}
