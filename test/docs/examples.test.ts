/** The commands in the pages and in examples/ work, against the system that `npm start` starts. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { blocksOf, noteOf, pages, root } from './pages.ts';

let system: System;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
  const token = await system.token({ subject: 'developer' });
  // Not this process's environment: in a whole test run it names servers, which would be settings.
  const { PATH, HOME } = process.env;
  env = { PATH, HOME, TOKEN: token, CAUDAL_DATA_DIR: system.dataDirectory, LOG_LEVEL: 'fatal' };
}, 120_000);
afterAll(() => system?.stop(), 120_000);

const it = systemTest(() => system);
const run = async (file: string, ...args: string[]) => {
  const { stdout } = await promisify(execFile)(file, args, { cwd: root, env, timeout: 60_000 });
  return stdout;
};
const here = (text: string) =>
  text
    .replaceAll('http://127.0.0.1:8080', system.part('all').rest)
    .replaceAll('127.0.0.1:9090', system.part('all').grpc);

for (const page of pages()) {
  const blocks = blocksOf(page, 'sh').filter((block) => noteOf(block, 'run') !== undefined);
  if (blocks.length > 0) {
    it(`the commands of ${page.path} work`, async () => {
      const script = `set -euo pipefail\n${here(blocks.map(({ code }) => code).join('\n'))}`;
      const said = await run('bash', '-c', script);
      expect(said).not.toContain('urn:caudal:reason:');
    }, 90_000);
  }
}

it('the order of the README is confirmed', async () => {
  const asked = async () =>
    (
      await fetch(`${system.part('all').rest}/v1/orders/first`, { headers: { authorization: `Bearer ${env.TOKEN}` } })
    ).text();
  const deadline = performance.now() + 20_000;
  let order = await asked();
  while (!order.includes('"ORDER_STATUS_CONFIRMED"') && performance.now() < deadline) {
    await delay(100);
    order = await asked();
  }
  expect(order).toContain('"ORDER_STATUS_CONFIRMED"');
}, 30_000);

it('examples/place-an-order.sh', async () => {
  const said = await run('examples/place-an-order.sh', system.part('all').rest);
  expect(said).toMatch(/is confirmed, and 10.00 GBP are left in the wallet\n/);
  expect(said).toMatch(/is cancelled; 60.00 GBP are in the wallet and 10 lamps in stock\n$/);
}, 90_000);

it('examples/place-an-order.ts', async () => {
  const said = await run(process.execPath, 'examples/place-an-order.ts', system.part('all').grpc);
  expect(said).toMatch(
    /^placed \S+; repeated: the same\norder \S+: ORDER_STATUS_CONFIRMED\nrefused: FAILED_PRECONDITION PRODUCT_NOT_SOLD/,
  );
}, 90_000);

it('examples/stream-traces.ts', async () => {
  const said = await run(process.execPath, 'examples/stream-traces.ts', system.part('all').grpc);
  expect(said).toBe('1000 traces are recorded, 0 chunks are left\n');
}, 90_000);
