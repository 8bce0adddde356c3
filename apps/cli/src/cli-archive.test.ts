/** Old months in S3, by the commands of an operator, on a system that has taken orders. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freshBucket } from '@caudal/archive-store/testing/bucket.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { createApi } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part } from '../../../test/e2e/part.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder } from '../../../test/e2e/world.ts';
import { cli, type Ended } from './testing/run-cli.ts';

const contexts = ['catalog', 'customers', 'inventory', 'orders', 'payments', 'shipping', 'notifications'];
/** In these an order leaves events. */
const busy = ['inventory', 'orders', 'payments'];

describeWith(['postgres', 's3'], 'caudal with an archive', () => {
  let fresh: FreshDatabase;
  let sql: Client;
  let folder: string;
  let part: Part;
  let caudal: (...args: string[]) => Promise<Ended>;
  let api: ReturnType<typeof createApi>;
  let customerId: string;
  let productId: string;
  let oldOrder: string;
  let month: string;

  const order = async () => {
    const { orderId } = await placeOrder(api, { customerId, productId });
    await orderConfirmed(api, orderId);
    return orderId;
  };
  const months = async (context: string) => (await caudal('log', 'months', context, '--json')).lines();

  beforeAll(async () => {
    const { bucket, prefix, endpoint, credentials } = await freshBucket();
    fresh = await freshDatabase();
    sql = new Client({ connectionString: fresh.url });
    await sql.connect();
    folder = mkdtempSync(join(tmpdir(), 'caudal-archive-'));
    const env: Record<string, string> = {
      ...{ DATABASE_URL: fresh.url, CAUDAL_POOL_SIZE: '4', CAUDAL_ARCHIVE: `s3://${bucket}/${prefix}` },
      ...{ CAUDAL_ARCHIVE_ENDPOINT: endpoint!, CAUDAL_ARCHIVE_ACCESS_KEY_ID: credentials!.accessKeyId },
      CAUDAL_ARCHIVE_SECRET_ACCESS_KEY: credentials!.secretAccessKey,
    };
    const keys = (await cli({})('keys', '--json')).json();
    for (const name of ['CAUDAL_SERVICE_KEY', 'CAUDAL_JWKS']) env[name] = JSON.stringify(keys[name]);
    caudal = cli(env);
    expect(await caudal('migrate')).toMatchObject({ code: 0 });
    const [rest, grpc] = (await freePorts(2)) as [number, number];
    part = createPart({ name: 'all', env, ports: { rest, grpc }, logFile: join(folder, 'all.log') });
    await part.start();
    const { stdout: token } = await caudal('token', '--subject', 'tester', '--all', '--ttl', '10m');
    api = createApi({ baseUrl: () => part.rest, token: token.trim() });
    customerId = await newCustomer(api, 1_000_000);
    productId = await newProduct(api);
    oldOrder = await order();
    // Three years pass.
    for (const context of contexts)
      await sql.query(`CREATE OR REPLACE FUNCTION ${context}.log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT date_trunc('milliseconds', clock_timestamp() + interval '36 months') $$`);
    await order();
    month = (await months('orders'))[0]!.month as string;
  }, 120_000);
  afterAll(async () => {
    await part.end('SIGTERM');
    await sql.end();
    await fresh.drop();
    rmSync(folder, { recursive: true, force: true });
  }, 120_000);

  test('moves old months out', async () => {
    for (const context of busy) {
      expect(await caudal('jobs', 'run', `${context}.archive-months`)).toMatchObject({ code: 0 });
      expect((await months(context)).map(({ where }) => where)).toEqual(['archive', 'database']);
      const there = await sql.query('SELECT to_regclass($1) AS there', [
        `${context}.events_${month.replace('-', '_')}`,
      ]);
      expect(there.rows[0].there).toBeNull();
    }
    const { stdout } = await caudal('log', 'months', 'orders');
    expect(stdout).toMatch(
      new RegExp(`^orders ${month}  archive +\\d+ events from position 1, \\d+ kB in the archive since `),
    );
  }, 120_000);

  test('shows, checks, compares and rebuilds what is there, and takes orders', async () => {
    await order();
    const shown = (await caudal('log', 'show', `orders.order/${oldOrder}`, '--json')).lines();
    expect(shown[0]).toMatchObject({ version: 1, position: 1, fields: { orderId: oldOrder } });
    const read = async () => (await api.call('GetOrder', { orderId: oldOrder })).body;
    const before = await read();
    expect(await caudal('verify', 'all')).toMatchObject({ code: 0 });
    expect(await caudal('rebuild', 'order-details')).toMatchObject({ code: 0 });
    expect(await caudal('verify', 'order-details')).toMatchObject({ code: 0 });
    // Its revision counts writes, of which a rebuild makes fewer.
    expect(await read()).toEqual({ ...before, etag: expect.stringMatching(`^${before.etag.split('-')[0]}-`) });
  }, 120_000);

  test('puts a month back', async () => {
    const restored = await caudal('log', 'restore-month', 'orders', month, '--days', '7');
    expect(restored).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('events are in the database again, for 7 days'),
    });
    expect((await months('orders'))[0]).toMatchObject({ month, where: 'database', archiveBytes: 0 });
    expect(await caudal('log', 'restore-month', 'orders', month)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not in the archive'),
    });
    expect(await caudal('verify', 'order-details')).toMatchObject({ code: 0 });
  }, 120_000);

  test('moves a month of traces out, reads it there, and puts it back', async () => {
    const parcel = { carrier: 'acme', trackingNumber: 'OLD1' };
    const year = new Date().getUTCFullYear() - 5;
    const traces = ['01', '02', '03'].map((day) => ({
      ...{ ...parcel, status: 'PARCEL_STATUS_IN_TRANSIT', detail: day, happenTime: `${year}-03-${day}T10:00:00Z` },
    }));
    await api.call('RecordTraces', { traces });
    const list = async () => (await api.call('ListTraces', parcel)).body;
    const recorded = async () => (await api.send('GetParcel', parcel)).body?.traceCount === 3;
    await until(recorded, 30_000);
    const before = await list();
    expect(before.traces.map(({ detail }: { detail: string }) => detail)).toEqual(['03', '02', '01']);
    expect(await caudal('jobs', 'run', 'tracking.archive-traces')).toMatchObject({ code: 0 });
    const count = async () =>
      (await sql.query(`SELECT count(*)::int AS n FROM tracking.traces WHERE happened_at < '${year + 1}-01-01'`))
        .rows[0].n;
    expect(await count()).toBe(0);
    expect(await list()).toEqual({ ...before, archived: true });
    expect((await api.call('GetParcel', parcel)).body).toMatchObject({ archived: true, traceCount: 3 });
    expect(await caudal('tracking', 'restore-month', `${year}-03`, '--days', '7')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`tracking ${year}-03: 3 traces are in the database again, for 7 days`),
    });
    expect(await count()).toBe(3);
    expect(await list()).toEqual(before);
    expect(await caudal('tracking', 'restore-month', `${year}-03`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not in the archive'),
    });
  }, 120_000);

  test('refuses a folder, which other processes do not see', async () => {
    const other = cli({ DATABASE_URL: fresh.url, CAUDAL_ARCHIVE: folder });
    expect(await other('log', 'months')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('a folder is only for'),
    });
    const typo = cli({ DATABASE_URL: fresh.url, CAUDAL_ARCHIVE: 'bucket/prefix' });
    expect(await typo('log', 'months')).toMatchObject({ stderr: expect.stringContaining('s3://BUCKET/PREFIX') });
  });
});
