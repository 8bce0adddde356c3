/** The `caudal` command as a child process, on the real PostgreSQL, beside a running system and without one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { product } from '@caudal/contract/entities.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { type Api, createApi, type Json } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part, testPersonalDataKeys } from '../../../test/e2e/part.ts';
import { until } from '../../../test/e2e/wait.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder } from '../../../test/e2e/world.ts';
import { cli, type Ended } from './testing/run-cli.ts';

const noStack = /\n\s+at .*:\d+/;

/** Fails with the command's whole output. */
function expectEnd(ended: Ended, code: number): void {
  expect({ ...ended, code: ended.code }).toMatchObject({ code });
  expect(ended.stderr).not.toMatch(noStack);
}

describeWith(['postgres'], 'caudal', () => {
  let fresh: FreshDatabase;
  let sql: Client;
  let folder: string;
  let env: Record<string, string>;
  let caudal: (...args: string[]) => Promise<Ended>;

  beforeAll(async () => {
    fresh = await freshDatabase();
    sql = new Client({ connectionString: fresh.url });
    await sql.connect();
    folder = mkdtempSync(join(tmpdir(), 'caudal-cli-'));
    env = { DATABASE_URL: fresh.url, CAUDAL_DATA_DIR: join(folder, 'data'), CAUDAL_POOL_SIZE: '4' };
    env.CAUDAL_PERSONAL_DATA_KEYS = testPersonalDataKeys;
    const keys = (await cli({})('keys', '--json')).json();
    for (const name of ['CAUDAL_SERVICE_KEY', 'CAUDAL_JWKS']) env[name] = JSON.stringify(keys[name]);
    caudal = cli(env);
  }, 60_000);
  afterAll(async () => {
    await sql.end();
    await fresh.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  describe('before and while it is migrated', () => {
    test('start and everything else name "caudal migrate"', async () => {
      for (const args of [['start'], ['verify', 'all']]) {
        const refused = await caudal(...args);
        expectEnd(refused, 1);
        expect(refused.stderr).toContain('Run "caudal migrate" with the same settings first');
        expect(refused.stdout).toBe('');
      }
    });

    test('--check reports what is pending, migrate does it, once', async () => {
      const pending = await caudal('migrate', '--check', '--json');
      expectEnd(pending, 1);
      expect(pending.json()).toMatchObject({ check: true, upToDate: false });
      const done = await caudal('migrate');
      expectEnd(done, 0);
      expect(done.stdout).toMatch(/^orders +done: .*eventlog\/001_tables\.sql/m);
      await sql.query(
        'DROP TABLE orders.parked_streams; DELETE FROM orders.migrations WHERE name = $$messaging/001_parked_streams.sql$$',
      );
      const again = await caudal('migrate', '--json');
      expect(again.json()).toMatchObject({ upToDate: false, contexts: expect.anything() });
      expect((again.json().contexts as Json[]).flatMap(({ migrations }) => migrations)).toEqual([
        'messaging/001_parked_streams.sql',
      ]);
      const checked = await caudal('migrate', '--check');
      expectEnd(checked, 0);
      expect(checked.stdout).toMatch(/^orders +up to date$/m);
    }, 120_000);

    test('then build makes a view, without a projector', async () => {
      const built = await caudal('build', 'stock-dashboard', '--json');
      expectEnd(built, 0);
      expect(built.json()).toEqual({ views: [{ view: 'stock-dashboard', built: true }] });
    }, 30_000);

    test.each([
      ['get', 'order-details', '1'],
      ['find', 'order-details'],
    ])('views %s names the view that is not built, and the store', async (...args) => {
      const missing = await caudal('views', ...args);
      expectEnd(missing, 1);
      expect(missing.stderr).toMatch(
        /^order-details is not built yet in PostgreSQL\. A running projector builds it: /m,
      );
    });
  });

  describe('with wrong arguments', () => {
    test.each<[string[], RegExp]>([
      [['migrat'], /Did you mean migrate\?/],
      [['log', 'show', 'orders.odrer/1'], /no entity "orders\.odrer"\. Did you mean "orders\.order"\?/],
      [
        ['rebuild', 'order-detail'],
        /no view "order-detail"\. Did you mean "order-details"\? Known names: product-search, /,
      ],
      [['build', 'stock-dashboard', 'order-detail'], /no view "order-detail"\. Did you mean "order-details"\?/],
      [['token', '--subject', 'ada', '--all', '--ttl', 'soon'], /must be a duration/],
    ])('%j', async (args, message) => {
      const ended = await caudal(...args);
      expectEnd(ended, 2);
      expect(ended.stderr).toMatch(message);
      expect(ended.stdout).toBe('');
    });

    test('without data, or with a server that does not answer', async () => {
      const { DATABASE_URL: _, ...others } = env;
      const nowhere = await cli(others)('verify', 'all');
      expectEnd(nowhere, 2);
      expect(nowhere.stderr).toMatch(/There is no data in .* yet/);
      const away = await cli({ ...env, DATABASE_URL: 'postgres://caudal:secret@127.0.0.1:1/x' })('replay', 'all');
      expectEnd(away, 1);
      expect(away.stderr).toMatch(/PostgreSQL can't be reached at the moment\. \(.*ECONNREFUSED/);
      expect(away.stderr).not.toContain('secret');
    });
  });

  let orderId: string;

  describe('with a running system', () => {
    let part: Part;
    let api: Api;
    let customerId: string;
    let productId: string;
    beforeAll(async () => {
      const [rest, grpc] = (await freePorts(2)) as [number, number];
      part = createPart({ name: 'all', env, ports: { rest, grpc }, logFile: join(folder, 'all.log') });
      await part.start();
      const { stdout: token } = await caudal('token', '--subject', 'tester', '--all', '--ttl', '10m');
      api = createApi({ baseUrl: () => part.rest, token: token.trim() });
      customerId = await newCustomer(api);
      productId = await newProduct(api);
      ({ orderId } = await placeOrder(api, { customerId, productId }));
      await orderConfirmed(api, orderId);
    }, 60_000);
    afterAll(() => part.end('SIGTERM'), 60_000);

    test('log show: readable events, personal fields only with --personal', async () => {
      const stream = `customers.customer/${customerId}`;
      const shown = await caudal('log', 'show', stream);
      expectEnd(shown, 0);
      expect(shown.stdout).toMatch(/^ +1 customers\.customer\.registered\.v1 .*position 1$/m);
      expect(shown.stdout).toContain('by tester; ');
      expect(shown.stdout).toContain('"email": "***"');
      expect(shown.stdout).not.toContain('Lovelace');
      const [all] = (await caudal('log', 'show', stream, '--personal', '--json')).lines();
      expect(all).toMatchObject({
        version: 1,
        actor: 'tester',
        fields: { displayName: 'Ada Lovelace', country: 'UK' },
      });

      const some = await caudal('log', 'show', `orders.order/${orderId}`, '--from', '2', '--limit', '1', '--json');
      expect(some.lines()).toMatchObject([{ stream: `orders.order/${orderId}`, version: 2 }]);
      const other = await caudal('log', 'show', `orders.order/${orderId.slice(0, -2)}`);
      expectEnd(other, 2);
      expect(other.stderr).toContain(`Similar ones: orders.order/${orderId}`);
    }, 30_000);

    test('replay of one stream shows its state', async () => {
      const customer = await caudal('replay', `customers.customer/${customerId}`);
      expectEnd(customer, 0);
      expect(customer.stdout).toMatch(/ at version 2\n/);
      expect(customer.stdout).not.toContain('Lovelace');
    });

    test('replay all and verify all find nothing wrong', async () => {
      const replayed = await caudal('replay', 'all', '--json');
      expectEnd(replayed, 0);
      const counts = (replayed.json().contexts as Json[]).filter(({ streams }) => streams > 0);
      expect(counts.map(({ context }) => context)).toEqual([
        ...['catalog', 'customers', 'inventory', 'orders', 'payments', 'shipping', 'notifications'],
      ]);
      const verified = await caudal('verify', 'all');
      expectEnd(verified, 0);
      expect(verified.stdout).toMatch(/^order-details\.v\d+\.1: \d+ documents compared: right$/m);
    }, 30_000);

    test('views list, get and find show the read models', async () => {
      const listed = await caudal('views', 'list');
      expectEnd(listed, 0);
      expect(listed.stdout).toMatch(/^order-details\.v\d+ +orders +PostgreSQL +generation 1, \d+ views$/m);

      const got = await caudal('views', 'get', 'order-details', orderId);
      expectEnd(got, 0);
      expect(got.stdout).toContain(`"customerId": "${customerId}"`);
      expect(got.stdout).toContain(`orders.order/${orderId} 2`);
      const missing = await caudal('views', 'get', 'order-details', 'nothing');
      expectEnd(missing, 1);
      expect(missing.stderr).toBe('order-details has no view "nothing".\n');

      const find = (...more: string[]) =>
        caudal('views', 'find', 'order-details', '--where', `customer_id=${customerId}`, ...more, '--json');
      expect((await find('--order-by', '-create_time')).lines()).toMatchObject([{ id: orderId, view: { customerId } }]);
      for (const [option, value, message] of [
        ['--where', 'create_time=soon', /"create_time" is a time such as/],
        ['--where', 'create_time=2026-02-30T12:00:00Z', /"create_time" is a time such as/],
        ['--order-by', '-customer', /no key "customer"/],
      ] as const) {
        const refused = await caudal('views', 'find', 'order-details', option, value);
        expectEnd(refused, 2);
        expect(refused.stderr).toMatch(message);
      }
    }, 60_000);

    test('build does not change existing views', async () => {
      const before = await caudal('build', 'stock-dashboard', '--json');
      expectEnd(before, 0);
      expect(before.json()).toEqual({ views: [{ view: 'stock-dashboard', built: false }] });
      const all = await caudal('build', 'all');
      expectEnd(all, 0);
      expect(all.stdout).toMatch(/^order-details\.v\d+: exists already$/m);
    }, 30_000);

    test('rebuild makes a generation that the running projector feeds', async () => {
      const rebuilt = await caudal('rebuild', 'stock-dashboard', '--json');
      expectEnd(rebuilt, 0);
      expect(rebuilt.json()).toMatchObject({ generation: 2, replaced: 1, views: { now: 1, before: 1 }, fed: true });
      const other = await newProduct(api);
      expect((await api.call('GetStockItem', { productId: other })).body.productId).toBe(other);
    }, 30_000);

    test('dead letters are listed, stay parked until their cause is corrected, and are redriven then', async () => {
      const poisoned = await newProduct(api);
      const stream = product.stream(poisoned);
      await sql.query('SET search_path TO catalog');
      const { rows } = await sql.query(
        `INSERT INTO events SELECT max(position) + 1, max(recorded_at), max(version) FILTER (WHERE stream = $1) + 1, 1,
          gen_random_uuid(), $1, 'catalog.product.exploded.v1', '', '' FROM events RETURNING version`,
        [stream],
      );
      const { version } = rows[0];
      await until(
        'the stream is parked',
        async () => (await sql.query('SELECT 1 FROM parked_streams')).rows,
        (parked) => parked.length > 0,
      );
      const [letter] = (await caudal('deadletters', 'list', '--json')).lines();
      expect(letter).toMatchObject({ stream, version, eventType: 'catalog.product.exploded.v1', count: 1 });
      const handler = String(letter!.handler);
      expect(handler).toMatch(/^product-search\.v\d+\.1$/);

      const unreadable = await caudal('log', 'show', stream, '--from', String(version));
      expectEnd(unreadable, 0);
      expect(unreadable.stdout).toContain("can't be decoded: catalog.product.exploded.v1 is not an event");
      const broken = await caudal('replay', stream);
      expectEnd(broken, 1);
      expect((await caudal('verify', 'product-search')).code).toBe(1);

      const failed = await caudal('deadletters', 'redrive', handler);
      expectEnd(failed, 1);
      expect(failed.stdout).toContain(`${stream}: still-parked (NewerEvent: catalog.product.exploded.v1`);
      const unknown = await caudal('deadletters', 'redrive', handler, `${stream}x`);
      expectEnd(unknown, 2);
      expect(unknown.stderr).toContain(`Did you mean "${stream}"?`);

      const { data } = product.encode({
        $case: 'priceSet',
        value: { price: { minorUnits: 777n, currency: 'GBP' } } as never,
      });
      await sql.query('UPDATE events SET data = $1 WHERE stream = $2 AND version = $3', [data, stream, version]);
      const redriven = await caudal('deadletters', 'redrive', handler, stream, '--json');
      expectEnd(redriven, 0);
      expect(redriven.lines()).toEqual([{ handler, stream, outcome: 'redriven' }]);
      expect((await caudal('verify', 'product-search')).code).toBe(0);
    }, 60_000);
  });

  describe('when the system has ended', () => {
    test('verify finds a view that was changed by hand, and a rebuild repairs it', async () => {
      await sql.query('SET search_path TO orders');
      const { rowCount } = await sql.query(
        `UPDATE "order-details.v4.1" SET view = jsonb_set(view::jsonb, '{customerId}', '"nobody"')`,
      );
      expect(rowCount).toBe(1);
      const wrong = await caudal('verify', 'order-details');
      expectEnd(wrong, 1);
      expect(wrong.stdout).toMatch(/^order-details\.v4\.1: 1 documents compared: 1 differing\n {2}differing order-/);
      const rebuilt = await caudal('rebuild', 'order-details');
      expectEnd(rebuilt, 0);
      expect(rebuilt.stdout).toContain('No projector runs for this view');
      const right = await caudal('verify', 'order-details', '--json');
      expectEnd(right, 0);
      expect(right.json()).toMatchObject({ right: true, views: [{ generation: 'order-details.v4.2' }] });
    }, 60_000);

    test('a stream that a view of many streams lacks is not redriven, but said to need a rebuild, which brings it', async () => {
      const handler = 'sales-by-day.v2.1';
      const stream = `orders.order/${orderId}`;
      await sql.query(
        `INSERT INTO orders.parked_streams (handler, stream, version, event_type, error, attempts, last_version)
        VALUES ($1, $2, 2, 'orders.order.confirmed.v1', 'Error: poison', 4, 2)`,
        [handler, stream],
      );
      const redriven = await caudal('deadletters', 'redrive', handler);
      expectEnd(redriven, 1);
      expect(redriven.stdout).toMatch(/^orders\.order\/.*: still-parked \(.* it must be built anew\)$/m);
      expect(redriven.stdout).toContain('caudal rebuild sales-by-day');
      expect((await caudal('deadletters', 'list', handler, '--json')).lines()).toMatchObject([{ handler, stream }]);
      const rebuilt = await caudal('rebuild', 'sales-by-day', '--json');
      expectEnd(rebuilt, 0);
      expect(rebuilt.json()).toMatchObject({ generation: 2, failed: [], verified: 1 });
      const right = await caudal('verify', 'sales-by-day', '--json');
      expectEnd(right, 0);
      expect(right.json()).toMatchObject({ right: true, views: [{ generation: 'sales-by-day.v2.2', documents: 1 }] });
      expect((await caudal('deadletters', 'list', 'sales-by-day.v2.2', '--json')).stdout).toBe('');
    }, 60_000);

    test('replay finds an event that is missing', async () => {
      await sql.query('DELETE FROM orders.events WHERE position = 1');
      const ended = await caudal('replay', 'all', '--context', 'orders');
      expectEnd(ended, 1);
      expect(ended.stdout).toMatch(/position orders 1: the event is missing\n {2}stream orders\.order\//);
    });
  });
});
