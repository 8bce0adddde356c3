/** `caudal migrate` with two roles, a system that runs with the lesser one, and `caudal audit`, on the real PostgreSQL. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '@caudal/kernel/ids.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { type Api, createApi, type Json } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part } from '../../../test/e2e/part.ts';
import { until } from '../../../test/e2e/wait.ts';
import { deliver, newCustomer, newProduct, orderConfirmed, placeOrder } from '../../../test/e2e/world.ts';
import { cli, type Ended } from './testing/run-cli.ts';

describeWith(['postgres'], 'the audit log and the roles of the database', () => {
  let fresh: FreshDatabase;
  let sql: Client;
  let folder: string;
  let part: Part;
  let api: Api;
  let customerId: string;
  let env: Record<string, string>;
  let caudal: (...args: string[]) => Promise<Ended>;
  let asOwner: (...args: string[]) => Promise<Ended>;
  const role = `app_${newId().replaceAll('-', '')}`;

  beforeAll(async () => {
    fresh = await freshDatabase();
    sql = new Client({ connectionString: fresh.url });
    await sql.connect();
    folder = mkdtempSync(join(tmpdir(), 'caudal-audit-'));
    const url = new URL(fresh.url);
    url.username = role;
    url.password = 'secret';
    env = {
      DATABASE_URL: url.href,
      CAUDAL_POOL_SIZE: '4',
      CAUDAL_AUDIT_REASON: 'ticket 17',
      PAYMENTS_FOUR_EYES: 'refunds',
    };
    const keys = (await cli({})('keys', '--json')).json();
    for (const name of ['CAUDAL_SERVICE_KEY', 'CAUDAL_JWKS']) env[name] = JSON.stringify(keys[name]);
    caudal = cli(env);
    asOwner = cli({ ...env, CAUDAL_OWNER_DATABASE_URL: fresh.url });
    expect(await asOwner('migrate')).toMatchObject({ code: 0 });
    const [rest, grpc] = (await freePorts(2)) as [number, number];
    part = createPart({ name: 'all', env, ports: { rest, grpc }, logFile: join(folder, 'all.log') });
    await part.start();
    const { stdout: token } = await caudal('token', '--subject', 'tester', '--all', '--ttl', '10m');
    api = createApi({ baseUrl: () => part.rest, token: token.trim() });
    customerId = await newCustomer(api, 10_000);
    const productId = await newProduct(api);
    const { orderId } = await placeOrder(api, { customerId, productId });
    await orderConfirmed(api, orderId);
    await deliver(api, orderId);
  }, 120_000);
  afterAll(async () => {
    await part?.end('SIGTERM');
    await sql.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await sql.end();
    await fresh.drop();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  const records = async (query: Json = {}) => (await api.call('ListAuditRecords', query)).body.auditRecords as Json[];

  test('the processes work with the lesser role, and are not warned of', () => {
    const log = readFileSync(part.logFile, 'utf8');
    expect(log).not.toContain('the role of DATABASE_URL owns');
    expect(log).not.toMatch(/permission denied/);
  });

  test('the API lists acts, the newest first, by permission, and records that it was read', async () => {
    const acts = await records({ resource: customerId, kind: 'AUDIT_KIND_ACT', pageSize: 100 });
    const deposits = acts.filter(({ method }) => method === 'caudal.payments.v1.WalletService/Deposit');
    expect(deposits.map(({ outcome }) => outcome).sort()).toEqual(['BEGUN', 'OK']);
    expect(deposits[0]).toMatchObject({ subject: 'tester', address: '127.0.0.1', count: '1' });
    const done = deposits.find(({ outcome }) => outcome === 'OK');
    expect(done.wrote).toMatch(new RegExp(`^payments\\.wallet/${customerId}@\\d+`));
    const { stdout } = await caudal('token', '--subject', 'eve', '--permission', 'payments.wallets.read');
    const refused = await api.as(stdout.trim()).send('ListAuditRecords');
    expect([refused.status, refused.body.reason]).toEqual([403, 'PERMISSION_MISSING']);
    const denied = await until(
      'the denial is written',
      () => records({ subject: 'eve' }),
      (found) => found.length > 0,
    );
    expect(denied[0]).toMatchObject({ kind: 'AUDIT_KIND_DENIAL', outcome: 'PERMISSION_MISSING' });
    const reads = await until(
      'the reads of the log are written',
      () => records({ method: 'caudal.audit.v1.AuditQueryService/ListAuditRecords', kind: 'AUDIT_KIND_PERSONAL' }),
      (found) => found.length > 0,
    );
    expect(reads[0]).toMatchObject({ subject: 'tester' });
  }, 30_000);

  test('pages follow each other without a gap, and a token that is none is refused', async () => {
    const all: Json[] = [];
    let pageToken = '';
    do {
      const { body } = await api.call('ListAuditRecords', { pageSize: 7, pageToken, kind: 'AUDIT_KIND_ACT' });
      all.push(...body.auditRecords);
      pageToken = body.nextPageToken ?? '';
    } while (pageToken);
    const positions = all.map(({ position }) => Number(position));
    expect(positions).toEqual(positions.toSorted((a, b) => b - a));
    expect(new Set(positions).size).toBe(positions.length);
    for (const wrong of ['-1', 'ZZ', '!', '0'.repeat(20), 'zzzzzzzzzzz'])
      expect((await api.send('ListAuditRecords', { pageToken: wrong })).status).toBe(400);
  });

  test('orders and queries of the buyer leave no record', async () => {
    const own = ['orders.orders.place', 'orders.orders.read', 'customers.customers.read', 'payments.wallets.read'];
    const buyer = await caudal('token', '--subject', customerId, ...own.flatMap((name) => ['--permission', name]));
    const as = api.as(buyer.stdout.trim());
    const productId = await newProduct(api);
    const { orderId } = await placeOrder(as, { customerId, productId });
    await orderConfirmed(as, orderId);
    await as.call('GetCustomer', { customerId });
    await until(
      'what was noted is written',
      () => records({ resource: productId }),
      (found) => found.length > 0,
    );
    expect((await records({ subject: customerId })).map(({ method }) => method)).toEqual([]);
  }, 30_000);

  test('a refund by hand waits for a second person where the setting says so, and both are recorded', async () => {
    const { body } = await api.call('ListPayments', { customerId });
    const [{ paymentId }] = body.payments;
    const refund = { paymentId, reason: 'gift', amount: { minorUnits: '1', currency: 'GBP' } };
    const asked = await api.send('RefundPayment', refund);
    expect([asked.status, asked.body.reason]).toEqual([400, 'APPROVAL_PENDING']);
    const approvalId = asked.body.metadata.approval as string;
    const own = await api.send('GrantApproval', { approvalId });
    expect([own.status, own.body.reason]).toEqual([403, 'APPROVER_IS_REQUESTER']);
    const second = await caudal('token', '--subject', 'second', '--permission', 'payments.approvals.grant');
    const granted = await api.as(second.stdout.trim()).call('GrantApproval', { approvalId });
    expect(granted.body).toMatchObject({
      status: 'APPROVAL_STATUS_GRANTED',
      requestedBy: 'tester',
      decidedBy: 'second',
    });
    await until(
      'the refund is paid',
      async () => (await api.call('GetPaymentStatus', { paymentId })).body,
      ({ refunded }) => refunded?.minorUnits === '1',
    );
    const waited = await until(
      'the outcome is written',
      () => records({ resource: paymentId }),
      (found) => found.some(({ outcome }) => outcome === 'APPROVAL_PENDING'),
    );
    expect(waited.find(({ outcome }) => outcome === 'APPROVAL_PENDING').wrote).toBe(
      `payments.approval/${approvalId}@1`,
    );
    const [done] = await until(
      'the grant is written',
      () => records({ resource: approvalId, subject: 'second' }),
      (found) => found.length === 2,
    );
    expect(done.wrote).toContain(`payments.approval/${approvalId}@2 payments.payment/${paymentId}@`);
  }, 30_000);

  test('commands that change something are recorded, with their reason; what needs the owner says so', async () => {
    expect(await caudal('rebuild', 'stock-dashboard')).toMatchObject({ code: 0 });
    expect(await caudal('jobs', 'run', 'payments.log-maintenance')).toMatchObject({ code: 0 });
    const begun = await records({ method: 'caudal rebuild' });
    expect(begun.map(({ outcome, reason, resource }) => [outcome, reason, resource])).toEqual([
      ['OK', 'ticket 17', 'stock-dashboard'],
      ['BEGUN', 'ticket 17', 'stock-dashboard'],
    ]);
    expect(begun[0].subject).toMatch(/^cli:.+@.+/);
    expect((await records({ method: 'caudal migrate' })).length).toBe(2);
    const epoch = await caudal('log', 'begin-epoch', 'shipping');
    expect(epoch).toMatchObject({ code: 1 });
    expect(epoch.stderr).toContain('set CAUDAL_OWNER_DATABASE_URL');
    const migrate = await caudal('migrate');
    expect(migrate).toMatchObject({ code: 1 });
    expect(migrate.stderr).toContain('set CAUDAL_OWNER_DATABASE_URL');
  }, 90_000);

  test('export writes JSON lines, and goes on where an interrupted one has ended', async () => {
    const file = join(folder, 'audit.jsonl');
    expect(await caudal('audit', 'export', '--to', file)).toMatchObject({ code: 0 });
    const lines = () =>
      readFileSync(file, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Json);
    const first = lines();
    expect(first.map(({ position }) => position)).toEqual(first.map((_, n) => n + 1));
    expect(first[0]).toMatchObject({ kind: 'COMMAND', method: 'caudal migrate', outcome: 'BEGUN' });
    // The last line was not written to its end.
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -20));
    expect(await caudal('audit', 'export', '--to', file)).toMatchObject({ code: 0 });
    const second = lines();
    expect(second.length).toBeGreaterThan(first.length);
    expect(second.map(({ position }) => position)).toEqual(second.map((_, n) => n + 1));
    const printed = await caudal('audit', 'export', '--from', '2');
    expect(printed.lines()[0]).toMatchObject({ position: 2 });
    const foreign = join(folder, 'letter.txt');
    writeFileSync(foreign, 'Dear Ada');
    expect(await caudal('audit', 'export', '--to', foreign)).toMatchObject({ code: 2 });
    appendFileSync(foreign, '\nmore');
    expect(readFileSync(foreign, 'utf8')).toBe('Dear Ada\nmore');
  }, 60_000);

  test('verify: 0 if the log is whole, 3 and the first broken record if not, 4 if nothing can be said', async () => {
    const checkpoint = (await caudal('audit', 'checkpoint')).stdout.trim();
    const whole = await caudal('audit', 'verify', '--checkpoint', checkpoint, '--json');
    expect(whole).toMatchObject({ code: 0 });
    expect(whole.json()).toMatchObject({ right: true, after: 0, broken: null });
    expect(await caudal('audit', 'verify', '--checkpoint', 'soon')).toMatchObject({ code: 2 });
    const ahead = await caudal('audit', 'verify', '--checkpoint', `999999:${'0'.repeat(64)}`);
    expect(ahead).toMatchObject({ code: 3 });
    expect(ahead.stdout).toMatch(/is missing: the log was cut off before the checkpoint at 999999/);
    // Only the owner can do that.
    await sql.query(`UPDATE caudal_audit.records SET body = replace(body, 'tester', 'nobody') WHERE position = 5`);
    const broken = await caudal('audit', 'verify');
    expect(broken).toMatchObject({ code: 3 });
    expect(broken.stdout).toMatch(/^Record 5 was changed/m);
  }, 60_000);
});
