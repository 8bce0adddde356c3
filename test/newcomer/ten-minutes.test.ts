/** docs/ten-minutes.md, done as it is written: in a checkout of its own, with the commands and the files of the page. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { root } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';
import { makeCheckout } from './checkout.ts';
import { isGone, killLeftovers, npmStart, type Started } from './npm.ts';

const page = readFileSync(join(root, 'docs/ten-minutes.md'), 'utf8');

/** The fenced blocks behind a comment that begins so. */
function blocks(comment: string): string[] {
  const found = [...page.matchAll(new RegExp(`^<!-- ${comment} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))];
  return found.map(([, block]) => block!);
}
const byThis = 'not run: test/newcomer/ten-minutes.test.ts runs it';

/** What the lines of a diff make of a text: those with "-" go, those with "+" stand where the ones around them are. */
function patched(text: string, diff: string): string {
  return diff.split(/^@@\n/m).reduce((before, hunk) => {
    const lines = hunk.trimEnd().split('\n');
    const side = (other: string) => lines.filter((line) => !line.startsWith(other)).map((line) => line.slice(1));
    const [old, now] = [side('+').join('\n'), side('-').join('\n')];
    expect(before).toContain(old);
    return before.replace(old, now);
  }, text);
}

const linux = process.platform === 'linux' ? test : test.skip;
let folder: string;
let checkout: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'caudal-ten-'));
  checkout = join(folder, 'caudal');
  makeCheckout(checkout);
}, 120_000);
afterAll(() => {
  killLeftovers([join(checkout, '.caudal')]);
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

linux(
  'everything on the page works, in its order',
  async () => {
    const data = join(checkout, '.caudal');
    const start = () => npmStart({ cwd: checkout });
    // Not this process's environment: in a whole test run it names servers, which would be settings.
    const own = { PATH: process.env.PATH, HOME: process.env.HOME };
    const tokenOf = async () => {
      const { stdout } = await promisify(execFile)('bin/caudal', ['token', '--subject', 'me', '--all'], {
        cwd: checkout,
        env: own,
      });
      return stdout.trim();
    };
    const shell = async ({ rest }: Started, script: string) => {
      const token = await tokenOf();
      const text = script.replaceAll('http://127.0.0.1:8080', rest);
      const env = { ...own, TOKEN: token };
      return (await promisify(execFile)('bash', ['-c', `set -euo pipefail\n${text}`], { cwd: checkout, env })).stdout;
    };

    const first = await start();
    const [order, events, view] = blocks(byThis);
    expect(await shell(first, order!)).toContain('"status":"ORDER_STATUS_PENDING"');
    const shown = await shell(first, events!);
    for (const type of ['orders.order.confirmed.v1', 'inventory.stock.committed.v1', 'orders.fulfilment.started.v1'])
      expect(shown).toContain(type);
    // A reader takes longer than this test to get there.
    const authorization = `Bearer ${await tokenOf()}`;
    await until(
      'the order can be read',
      async () => (await fetch(`${first.rest}/v1/orders/ten`, { headers: { authorization } })).text(),
      (text) => text.includes('ORDER_STATUS_CONFIRMED'),
    );
    const looked = await shell(first, view!);
    expect(looked).toMatch(/^order-details\.v\d+ +orders +PostgreSQL +generation 1, 1 views$/m);
    expect(looked).toContain('"customerId": "bea"');
    expect(looked).toMatch(/^order-details\.v\d+\.2: \d+ documents compared: right$/m);

    process.kill(first.chain.program, 'SIGKILL');
    expect(await first.ended).toBe('SIGKILL');
    const second = await start();
    expect(await shell(second, 'bin/caudal verify all')).not.toMatch(/compared: (?!right)/);
    process.kill(second.pid, 'SIGTERM');
    expect(await second.ended).toBe(0);

    // A file of its own: the checkout may share its files with this one.
    const replace = (path: string, text: string) => {
      rmSync(join(checkout, path), { force: true });
      writeFileSync(join(checkout, path), text);
    };
    const [projection] = blocks('file: services/orders/src/projections/open-orders.ts');
    replace('services/orders/src/projections/open-orders.ts', projection!);
    const context = 'services/orders/src/context.ts';
    replace(context, patched(readFileSync(join(checkout, context), 'utf8'), blocks(`edit: ${context}`)[0]!));
    const third = await start();
    const [found] = blocks(`${byThis} after the edit`);
    const open = await shell(third, found!);
    expect(open).toContain('"customerId": "bea"');
    expect(open).toMatch(/^open-orders\.v1\.1: 1 documents compared: right$/m);
    process.kill(third.pid, 'SIGTERM');
    expect(await third.ended).toBe(0);
    await isGone(third, data);
  },
  300_000,
);
