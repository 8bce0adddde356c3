/** The `caudal` command over the embedded PostgreSQL: beside the process that owns it, and on its own. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createApi } from '../../../test/e2e/api.ts';
import { createPart, freePorts, type Part } from '../../../test/e2e/part.ts';
import { newProduct } from '../../../test/e2e/world.ts';
import { cli } from './testing/run-cli.ts';

let folder: string;
let part: Part;
let caudal: ReturnType<typeof cli>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-cli-'));
  const env = { CAUDAL_DATA_DIR: join(folder, 'data') };
  const [rest, grpc] = (await freePorts(2)) as [number, number];
  part = createPart({ name: 'all', env, ports: { rest, grpc }, logFile: join(folder, 'all.log') });
  caudal = cli(env);
});
afterAll(async () => {
  await part.end('SIGTERM');
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}, 60_000);

test('commands join the server that runs, else start one for their time', async () => {
  // Before the first start: the key is made here, and kept.
  const { stdout: token } = await caudal('token', '--subject', 'tester', '--all');
  await part.start();
  const productId = await newProduct(createApi({ baseUrl: () => part.rest, token: token.trim() }));
  const stream = `catalog.product/${productId}`;

  const beside = await caudal('log', 'show', stream, '--json');
  expect(beside).toMatchObject({ code: 0, stderr: '' });
  const job = await caudal('jobs', 'run', 'payments.check-wallets', '--json');
  expect(job).toMatchObject({ code: 0 });
  expect(job.json()).toMatchObject({ job: 'payments.check-wallets', outcome: 'succeeded' });
  expect(await part.isReady()).toBe(true);
  expect(await part.end('SIGTERM')).toBe(0);

  const alone = await caudal('log', 'show', stream, '--json');
  expect(alone).toMatchObject({ code: 0, stdout: beside.stdout });
  expect(alone.stderr).toContain('Starting the embedded PostgreSQL');
  expect(existsSync(join(folder, 'data', 'postgres', 'postmaster.pid'))).toBe(false);

  const jobs = await caudal('jobs', 'list', '--json');
  expect(jobs.lines()).toContainEqual(
    expect.objectContaining({ job: 'payments.check-wallets', runs: 1, lastOutcome: 'succeeded', running: false }),
  );

  const migrate = await caudal('migrate');
  expect(migrate).toMatchObject({ code: 2 });
  expect(migrate.stderr).toContain('DATABASE_URL is not set');
}, 120_000);
