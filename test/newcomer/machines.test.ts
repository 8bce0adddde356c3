/** `npm start`, `npm test` and bin/caudal on newcomers' machines, in a folder with blanks in its name. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeCheckout } from './checkout.ts';
import { isGone, killLeftovers, npmStart, result, type Started, statusOf } from './npm.ts';
import { makeUser } from './users.ts';

const isRoot = process.getuid?.() === 0;
const linux = process.platform === 'linux' ? describe : describe.skip;
const asRoot = isRoot ? test : test.skip;
/** The capability with which root passes folders that are closed to others, as /proc writes it. */
const DAC_OVERRIDE = '0000000000000002';
const STACK = /\n\s+at /;

linux('on a machine with Linux', () => {
  let above: string;
  let checkout: string;
  const user = makeUser();
  beforeAll(() => {
    above = mkdtempSync(join(tmpdir(), 'caudal of a newcomer-'));
    checkout = join(above, 'check out');
    makeCheckout(checkout);
  }, 60_000);
  afterAll(() => {
    killLeftovers([data()]);
    user?.remove();
    rmSync(above, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  const data = () => join(checkout, '.caudal');
  const postmasterFile = () => join(data(), 'postgres/postmaster.pid');
  const postmaster = () => Number(readFileSync(postmasterFile(), 'utf8').split('\n')[0]);

  async function end(started: Started): Promise<void> {
    process.kill(started.pid, 'SIGTERM');
    expect(await started.ended).toBe(0);
    await isGone(started, data());
  }

  describe("root's", () => {
    asRoot(
      "npm start runs in a folder that other users can't enter, and bin/caudal finds it from any folder",
      async () => {
        chmodSync(above, 0o700);
        const started = await npmStart({ cwd: checkout });
        expect(started.said()).toContain(`Data        ${data()}`);
        const server = postmaster();
        expect(statusOf(server, 'Uid')).not.toMatch(/\b0\b/);
        expect(statusOf(server, 'CapEff')).toBe(DAC_OVERRIDE);

        await expectFrontPage(started.rest);
        const caudal = (...args: string[]) => result(join(checkout, 'bin/caudal'), args, { cwd: '/' });
        const { code, said } = await caudal('token', '--subject', 'me', '--all');
        expect(code).toBe(0);
        expect(said).toContain(`Signed with the key of the data directory ${data()}.`);
        const authorization = `Bearer ${/^\S+\.\S+\.\S+$/m.exec(said)?.[0]}`;
        const answer = await fetch(`${started.rest}/v1/products:search?query=x`, { headers: { authorization } });
        expect(answer.status).toBe(200);

        const file = join(above, 'orders.csv');
        writeFileSync(file, csv);
        const imported = await caudal('import', file, '--address', `127.0.0.1:${started.ports.grpc}`);
        expect(imported).toMatchObject({ code: 0, said: expect.stringContaining('✓') });
        expect(imported.said).not.toContain('✗');
        await end(started);
      },
      240_000,
    );

    asRoot(
      'npm start on the same data gives PostgreSQL no right if no folder is closed, without setpriv too',
      async () => {
        chmodSync(above, 0o755);
        const started = await npmStart({ cwd: checkout, env: { PATH: pathWithoutSetpriv() } });
        expect(statusOf(postmaster(), 'CapEff')).toBe('0000000000000000');
        await end(started);
      },
      240_000,
    );

    asRoot(
      "npm start names the closed folder if it can't pass it",
      async () => {
        chmodSync(above, 0o700);
        const { code, said } = await result('npm', ['start'], { cwd: checkout, env: { PATH: pathWithoutSetpriv() } });
        expect(code).toBe(1);
        expect(said).toContain(`can't enter ${above}: open it ("chmod a+x ${above}"), install setpriv`);
        expect(said).not.toMatch(STACK);
      },
      180_000,
    );

    asRoot('npm test runs there', () => expectTests(), 180_000);
  });

  describe('an ordinary user', () => {
    // Root may be unable to make another user.
    const asUser = !isRoot || user ? test : test.skip;
    beforeAll(() => {
      chmodSync(above, 0o755);
      rmSync(data(), { recursive: true, force: true });
      if (user) chownSync(checkout, user.uid, user.gid);
    });

    asUser(
      'without a home starts it',
      async () => {
        const started = await npmStart({ cwd: checkout, user });
        await expectFrontPage(started.rest);
        expect(statSync(data()).uid).toBe(user?.uid ?? process.getuid?.());
        await end(started);
      },
      240_000,
    );

    asUser('with a read-only home runs npm test', () => expectTests({ HOME: '/' }), 180_000);

    const asChild = isRoot ? asUser : test.skip;
    asChild(
      'gets a message with the setting if the data directory belongs to another user',
      async () => {
        const theirs = join(above, 'theirs');
        mkdirSync(theirs, { mode: 0o755 });
        const env = { CAUDAL_DATA_DIR: theirs };
        const { code, said } = await result('npm', ['start'], { cwd: checkout, user, env });
        expect(code).toBe(1);
        expect(said).toContain(`The data directory ${theirs} can't be written (EACCES): set CAUDAL_DATA_DIR`);
        expect(said).not.toMatch(STACK);
      },
      180_000,
    );

    asUser(
      'gets a message if a port is taken',
      async () => {
        const taken = createServer().listen(0, '127.0.0.1');
        await new Promise((listening) => taken.once('listening', listening));
        const { port } = taken.address() as AddressInfo;
        const ports = { CAUDAL_REST_PORT: String(port), CAUDAL_GRPC_PORT: '0' };
        const { code, said } = await result('npm', ['start'], { cwd: checkout, user, env: ports });
        taken.close();
        expect(code).toBe(1);
        expect(said).toContain(`CAUDAL_REST_PORT: 127.0.0.1:${port} is in use already. Stop what listens there`);
        expect(said).toContain('set CAUDAL_REST_PORT to a free port');
        expect(said).not.toMatch(STACK);
        expect(existsSync(postmasterFile())).toBe(false);
      },
      180_000,
    );
  });

  /** A small test runs, and the kit of servers finds a folder for its cache. */
  async function expectTests(env: Record<string, string> = {}): Promise<void> {
    const as = { cwd: checkout, user: env.HOME ? user : undefined };
    // All URLs are set, so that no server is started: the test needs none.
    const servers = ['POSTGRES_URL', 'RABBITMQ_URL', 'MONGODB_URL', 'ELASTICSEARCH_URL', 'REDIS_URL'];
    const given = Object.fromEntries(servers.map((name) => [name, 'none://127.0.0.1:9']));
    const tests = ['test', '--', 'packages/kernel/src/time.test.ts'];
    const { code, said } = await result('npm', tests, { ...as, env: { ...given, ...env } });
    expect({ code, said: code === 0 ? '' : said }).toEqual({ code: 0, said: '' });
    expect(said).toMatch(/\n[1-9]\d* passed, 0 failed\n/);

    const kit = await result('test/servers/servers', ['env', 'redis'], { ...as, env });
    expect(kit).toEqual({ code: 0, said: expect.stringMatching(/^export REDIS_URL=/) });
    expect(existsSync(join(checkout, '.caudal/cache/servers'))).toBe(true);
    rmSync(join(checkout, '.caudal/cache'), { recursive: true });
  }

  /** A PATH with Node, npm and a shell, and nothing else. */
  function pathWithoutSetpriv(): string {
    const bin = join(above, 'bin');
    if (!existsSync(bin)) {
      mkdirSync(bin);
      for (const name of ['node', 'npm', 'sh']) symlinkSync(whereIs(name), join(bin, name));
    }
    return bin;
  }
});

function whereIs(name: string): string {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
  return join(folders.find((folder) => existsSync(join(folder, name)))!, name);
}

async function expectFrontPage(rest: string): Promise<void> {
  const page = await fetch(rest);
  expect({ status: page.status, type: page.headers.get('content-type') }).toEqual({
    status: 200,
    type: 'text/html; charset=utf-8',
  });
  expect(await page.text()).toContain('<a href="/docs">');
  const reply = await fetch(rest, { headers: { accept: 'application/json' } });
  expect(await reply.json()).toMatchObject({ docs: '/docs', readyz: '/readyz' });
  expect((await fetch(`${rest}/readyz`)).status).toBe(200);
}

const csv = `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
500001,MUG,A mug,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
500001,LAMP,A lamp,2,2010-12-01 08:26:00,10.00,17850,United Kingdom
500002,MUG,A mug,1,2010-12-01 09:00:00,2.55,13047,France
`;
