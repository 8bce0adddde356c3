/** `caudal jobs`, and the jobs and gauges of a running system, on the real PostgreSQL. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { createApi } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part } from '../../../test/e2e/part.ts';
import { until } from '../../../test/e2e/wait.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder } from '../../../test/e2e/world.ts';
import { cli, type Ended } from './testing/run-cli.ts';

const contexts = ['catalog', 'customers', 'inventory', 'orders', 'payments', 'shipping', 'notifications'];

describeWith(['postgres'], 'caudal jobs', () => {
  let fresh: FreshDatabase;
  let sql: Client;
  let folder: string;
  let part: Part;
  let metricsPort: number;
  let caudal: (...args: string[]) => Promise<Ended>;

  beforeAll(async () => {
    fresh = await freshDatabase();
    sql = new Client({ connectionString: fresh.url });
    await sql.connect();
    folder = mkdtempSync(join(tmpdir(), 'caudal-jobs-'));
    const env: Record<string, string> = { DATABASE_URL: fresh.url, CAUDAL_POOL_SIZE: '4' };
    const keys = (await cli({})('keys', '--json')).json();
    for (const name of ['CAUDAL_SERVICE_KEY', 'CAUDAL_JWKS']) env[name] = JSON.stringify(keys[name]);
    caudal = cli(env);
    expect(await caudal('migrate')).toMatchObject({ code: 0 });
    const [rest, grpc, metrics] = (await freePorts(3)) as [number, number, number];
    metricsPort = metrics;
    part = createPart({
      name: 'all',
      env: { ...env, CAUDAL_METRICS_PORT: String(metrics) },
      ports: { rest, grpc },
      logFile: join(folder, 'all.log'),
    });
    await part.start();
    const { stdout: token } = await caudal('token', '--subject', 'tester', '--all', '--ttl', '10m');
    const api = createApi({ baseUrl: () => part.rest, token: token.trim() });
    const customerId = await newCustomer(api, 1_000);
    const productId = await newProduct(api);
    const { orderId } = await placeOrder(api, { customerId, productId });
    await orderConfirmed(api, orderId);
  }, 90_000);
  afterAll(async () => {
    await part.end('SIGTERM');
    await sql.end();
    await fresh.drop();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  const listed = async (job: string) =>
    (await caudal('jobs', 'list', '--json')).lines().find((line) => line.job === job);
  /** The job's record, read from the table: faster than starting the command. */
  const record = async (context: string, name: string) =>
    (await sql.query(`SELECT * FROM ${context}.jobs WHERE name = $1`, [name])).rows[0];
  const scrape = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();

  test('the log of every context is maintained when the system starts', async () => {
    await until(
      'all have run',
      async () => {
        const succeeded = contexts.map(
          (name) => `SELECT FROM ${name}.jobs WHERE name = 'log-maintenance' AND last_outcome = 'succeeded'`,
        );
        return (await sql.query(succeeded.join(' UNION ALL '))).rowCount;
      },
      (count) => count === contexts.length,
    );
    const job = await listed('catalog.log-maintenance');
    expect(job).toMatchObject({ context: 'catalog', declared: true, schedule: 'every 1 h', running: false, runs: 1 });
    expect(job).toMatchObject({
      durationSeconds: expect.any(Number),
      runningOn: expect.stringContaining(`pid ${part.pid()}`),
    });
    expect(Date.parse(String(job!.nextDueAt)) - Date.parse(String(job!.lastStartedAt))).toBe(3_600_000);
    expect(await listed('payments.check-wallets')).toMatchObject({
      schedule: '20 3 * * * UTC',
      runs: 0,
      lastOutcome: null,
    });
  }, 120_000);

  test('running jobs and gauges are in the metrics', async () => {
    const text = await until('the gauge', scrape, (body) => /^orders_pending_oldest_seconds 0$/m.test(body));
    expect(text).toMatch(/^job_runs_total\{context="orders",job_name="log-maintenance",outcome="succeeded"\} 1$/m);
    expect(text).toMatch(/^job_overdue_seconds\{context="payments",job_name="check-wallets"\} 0$/m);
    expect(text).toMatch(/^job_failures_in_row\{context="orders",job_name="log-maintenance"\} 0$/m);
    expect(text).toMatch(/^job_running\{context="orders",job_name="log-maintenance"\} 0$/m);
    await sql.query(
      `UPDATE orders."order-details.v4.1" SET k_status = '1', k_create_time = now() - interval '2 hours'`,
    );
    await sql.query(
      `UPDATE orders."order-details.v4.1" SET view = jsonb_set(view::jsonb, '{createTime}', to_jsonb(now() - interval '2 hours'))`,
    );
    const old = await until(
      'the stuck order, once the last reading is 15 s old',
      async () => /^orders_pending_oldest_seconds ([\d.]+)$/m.exec(await scrape())?.[1],
      (seconds) => Number(seconds) > 7_000,
      30_000,
      500,
    );
    expect(Number(old)).toBeLessThan(7_400);
  }, 120_000);

  test('a job is run by hand, beside the system, and reports its outcome', async () => {
    const ran = await caudal('jobs', 'run', 'payments.check-wallets');
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^payments\.check-wallets: succeeded after/) });
    expect(ran.stderr).toContain('Running payments.check-wallets: Compares a sample');
    expect(await record('payments', 'check-wallets')).toMatchObject({ epoch: '1', last_outcome: 'succeeded' });

    await sql.query(
      `UPDATE payments."wallet-balances.v2.1" SET view = jsonb_set(view::jsonb, '{balance,minorUnits}', '"7"')`,
    );
    const failed = await caudal('jobs', 'run', 'payments.check-wallets', '--json');
    expect(failed.code).toBe(1);
    expect(failed.json()).toMatchObject({
      outcome: 'failed',
      error: expect.stringMatching(/^1 of \d+ wallets differ/),
    });
    const shown = await caudal('jobs', 'list');
    expect(shown.stdout).toMatch(
      /^payments\.check-wallets {2}20 3 \* \* \* UTC\n {6}last failed .*1 of \d+ wallets differ/m,
    );
    expect(await record('payments', 'check-wallets')).toMatchObject({ failures_in_row: 1 });
    await sql.query(
      "UPDATE payments.jobs SET last_started_at = now(), failures_in_row = 0 WHERE name = 'check-wallets'",
    );
  }, 120_000);

  test('a job that runs elsewhere is refused', async () => {
    await sql.query(`UPDATE payments.jobs SET holder = 'other', running_on = 'host-7 (pid 1)',
      lease_until = now() + interval '250 s' WHERE name = 'check-wallets'`);
    const refused = await caudal('jobs', 'run', 'payments.check-wallets');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/payments\.check-wallets runs already, on host-7 \(pid 1\), since 20/);
    expect((await caudal('jobs', 'list')).stdout).toContain('runs on host-7 (pid 1), since 20');
    await sql.query("UPDATE payments.jobs SET holder = NULL WHERE name = 'check-wallets'");
  }, 120_000);

  test('only a job that is no longer declared can be removed, and the list shows it as such', async () => {
    await sql.query("INSERT INTO orders.jobs (name, last_outcome) VALUES ('old-check', 'failed')");
    expect(await listed('orders.old-check')).toMatchObject({ declared: false, schedule: null, nextDueAt: null });
    const unknown = await caudal('jobs', 'run', 'orders.old-chek');
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no job "orders.old-chek"') });
    expect(await caudal('jobs', 'remove', 'payments.check-wallets')).toMatchObject({ code: 2 });
    expect(await caudal('jobs', 'remove', 'orders.old-check')).toMatchObject({ code: 0 });
    expect(await record('orders', 'old-check')).toBeUndefined();
  }, 120_000);

  test('maintenance that cannot make partitions fails, is counted, and is repeated', async () => {
    const { rows } = await sql.query(
      `SELECT 'events_' || to_char(now() AT TIME ZONE 'UTC' + interval '3 months', 'YYYY_MM') AS last`,
    );
    await sql.query(`DROP TABLE catalog.${rows[0].last};
      CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not allowed'; END $$;
      CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse();
      UPDATE catalog.jobs SET last_started_at = now() - interval '2 hours', last_ended_at = last_started_at`);
    const metric = async () =>
      /^eventlog_maintenance_failures_total\{domain="catalog"\} (\d+)$/m.exec(await scrape())?.[1];
    await until('it is counted', metric, (count) => count === '1', 30_000);
    await until(
      'it is recorded',
      () => record('catalog', 'log-maintenance'),
      (row) => row.last_outcome === 'failed' && row.failures_in_row === 1,
    );
    await sql.query('DROP EVENT TRIGGER refuse');
    await sql.query(
      "UPDATE catalog.jobs SET last_started_at = now() - interval '70 s', last_ended_at = now() - interval '61 s'",
    );
    await until(
      'it has made them',
      () => record('catalog', 'log-maintenance'),
      (row) => row.last_outcome === 'succeeded',
      30_000,
    );
  }, 120_000);

  test('the run of a crashed process is taken over; a process that ends in order leaves none', async () => {
    await sql.query(
      `UPDATE catalog.jobs SET holder = 'dead', lease_until = now() + interval '2 s', running_on = 'host-9'`,
    );
    await part.end('SIGKILL');
    await part.start();
    const job = await until(
      'it is taken over',
      () => record('catalog', 'log-maintenance'),
      (row) => row.last_outcome === 'succeeded' && row.running_on.includes(`pid ${part.pid()}`),
      30_000,
    );
    expect(job).toMatchObject({ failures: '2', failures_in_row: 0 });
    expect(await part.end('SIGTERM')).toBe(0);
    const { rows } = await sql.query('SELECT 1 FROM catalog.jobs WHERE holder IS NOT NULL');
    expect(rows).toEqual([]);
  }, 120_000);
});
