/** The `caudal` command over the embedded PostgreSQL: beside the process that owns it, and on its own. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createApi } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part } from '../../../test/e2e/part.ts';
import { newProduct } from '../../../test/e2e/world.ts';
import { importToken } from './import-token.ts';
import type { SignerValues } from './signer.ts';
import { cli } from './testing/run-cli.ts';

let folder: string;
let data: string;
let part: Part;
let caudal: ReturnType<typeof cli>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-cli-'));
  data = join(folder, 'data');
  const env = { CAUDAL_DATA_DIR: data };
  const [rest, grpc] = (await freePorts(2)) as [number, number];
  part = createPart({ name: 'all', env, ports: { rest, grpc }, logFile: join(folder, 'all.log') });
  caudal = cli(env);
});
afterAll(async () => {
  await part.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}, 60_000);

test('commands use the running PostgreSQL, or start one for their own time', async () => {
  const early = await caudal('token', '--subject', 'tester', '--all');
  expect(early).toMatchObject({ code: 2, stdout: '' });
  expect(early.stderr).toContain(`There is no key in the data directory ${data}. Set CAUDAL_DATA_DIR to`);
  expect(existsSync(data)).toBe(false);

  await part.start();
  const { stdout: token, ...signed } = await caudal('token', '--subject', 'tester', '--all');
  expect(signed).toMatchObject({ code: 0, stderr: `Signed with the key of the data directory ${data}.\n` });
  const productId = await newProduct(createApi({ baseUrl: () => part.rest, token: token.trim() }));
  const stream = `catalog.product/${productId}`;

  const beside = await caudal('log', 'show', stream, '--json');
  expect(beside).toMatchObject({ code: 0, stderr: `Using the embedded PostgreSQL of ${data}.\n` });
  const job = await caudal('jobs', 'run', 'payments.check-wallets', '--json');
  expect(job).toMatchObject({ code: 0 });
  expect(job.json()).toMatchObject({ job: 'payments.check-wallets', outcome: 'succeeded' });
  expect(await part.isReady()).toBe(true);
  expect(await part.end('SIGTERM')).toBe(0);

  const alone = await caudal('log', 'show', stream, '--json');
  expect(alone).toMatchObject({ code: 0, stdout: beside.stdout });
  expect(alone.stderr).toContain('Starting the embedded PostgreSQL');
  expect(existsSync(join(data, 'postgres', 'postmaster.pid'))).toBe(false);

  const jobs = await caudal('jobs', 'list', '--json');
  expect(jobs.lines()).toContainEqual(
    expect.objectContaining({ job: 'payments.check-wallets', runs: 1, lastOutcome: 'succeeded', running: false }),
  );

  const migrate = await caudal('migrate');
  expect(migrate).toMatchObject({ code: 2 });
  expect(migrate.stderr).toContain('DATABASE_URL is not set');
}, 120_000);

test('an import whose token the system refuses names the fix', async () => {
  await part.start();
  const { grpc } = part;
  const file = join(folder, 'orders.csv');
  const heading = 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country';
  writeFileSync(file, `${heading}\n500001,MUG,A mug,6,2010-12-01 08:26:00,2.55,17850,France\n`);

  // Without a key the system is called without a token, since it may need none.
  const elsewhere = cli({ CAUDAL_DATA_DIR: join(folder, 'elsewhere') });
  const keyless = await elsewhere('import', file, '--address', grpc);
  expect(keyless).toMatchObject({ code: 2, stdout: '' });
  expect(keyless.stderr).toContain(
    `The system needs a token. There is no key in the data directory ${join(folder, 'elsewhere')}.`,
  );
  expect(keyless.stderr).toContain('Give a token by --token or CAUDAL_TOKEN');

  mkdirSync(join(folder, 'elsewhere'));
  writeFileSync(join(folder, 'elsewhere', 'key.json'), JSON.stringify(await generateKey('another')));
  const stranger = await elsewhere('import', file, '--address', grpc);
  expect(stranger).toMatchObject({ code: 2, stdout: '' });
  expect(stranger.stderr).toContain(`${grpc} does not know the key that the import's token was signed with.`);
  expect(stranger.stderr).not.toMatch(/\n\s+at /);

  // A system of another machine gets only a token that is given explicitly.
  const { explain, source } = await importToken('caudal.example:9090', undefined, {} as SignerValues);
  expect(source).toBeUndefined();
  expect(explain(new CaudalError('UNAUTHENTICATED', 'TOKEN_MISSING', 'none'))).toMatchObject({
    name: 'UsageError',
    message: expect.stringContaining('caudal.example:9090 is not of this machine'),
  });
  const other = new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', 'none');
  expect(explain(other)).toBe(other);

  expect(await caudal('import', file, '--address', grpc)).toMatchObject({ code: 0 });
  const absent = await caudal('import', join(folder, 'absent.csv'), '--address', grpc);
  expect(absent).toMatchObject({ code: 2, stdout: '' });
  expect(absent.stderr).toContain(`The file ${join(folder, 'absent.csv')} can't be read (ENOENT).`);

  const traces = join(folder, 'traces.csv');
  const at = new Date(Date.now() - 60_000).toISOString();
  writeFileSync(traces, `trackingNumber,happenedAt,status\nC1,${at},IN_TRANSIT\nC2,today,IN_TRANSIT\nC3,${at},SENT\n`);
  const imported = await caudal('tracking', 'import', traces, '--carrier', 'acme', '--address', grpc, '--json');
  expect(imported.code).toBe(1);
  expect(imported.json()).toMatchObject({
    ...{ lines: 3, accepted: 1, duplicates: 0, refused: 2, interrupted: false },
    problems: [
      { line: 3, field: 'happenedAt', problem: expect.stringContaining('ISO 8601') },
      { line: 4, problem: expect.stringContaining('It is none of PRE_TRANSIT') },
    ],
  });
  const unknown = await caudal('tracking', 'import', join(folder, 'traces.txt'));
  expect(unknown).toMatchObject({ code: 2, stdout: '' });
  expect(unknown.stderr).toContain('give --format csv or ndjson');

  const beside = await caudal('demo', file);
  expect(beside).toMatchObject({ code: 2, stdout: '' });
  expect(beside.stderr).toMatch(/A system runs on .*: "bin\/caudal import .*online-retail-sample\.csv" does the same/);
  await part.end('SIGTERM');
  // Under the same subject as the import: what that has done is found again, and nothing is done twice.
  expect(await caudal('demo', file)).toMatchObject({ code: 0 });
}, 120_000);

test.each([
  [['--subject', 'public:x', '--all'], '"public:x" would be refused'],
  [['--subject', 'webhook:x', '--all'], '"webhook:x" would be refused'],
  [['--subject', 'ada', '--all', '--permission', 'orders.orders.place'], 'Give --all or --permission, not both.'],
])('token %j is refused', async (args, message) => {
  const refused = await caudal('token', ...args);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain(message);
});
