/** `caudal demo` as a user runs it: the whole real file, on an embedded system of its own. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Report } from '@caudal/importer/report.ts';
import { afterAll, describe, expect, test } from '@jest/globals';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const sample = fileURLToPath(new URL('../../importer/data/online-retail-sample.csv', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'caudal-demo-'));
const MINUTES = 60_000;

afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

/** Runs the demo over this data directory, and waits for its end. */
async function demo(data: string, ...args: string[]): Promise<{ code: number | null; output: string; errors: string }> {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [main, 'demo', ...args], {
    env: { PATH, HOME, CAUDAL_DATA_DIR: join(folder, data), LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, output, errors };
}

describe('caudal demo', () => {
  test(
    'imports the whole sample, which reconciles',
    async () => {
      const first = await demo('whole', '--json', '--concurrency', '128');
      expect({ code: first.code, errors: first.code === 0 ? '' : first.errors }).toEqual({ code: 0, errors: '' });
      const report = JSON.parse(first.output) as Report;
      expect(report).toMatchObject({
        reconciled: true,
        currency: 'GBP',
        lines: { total: 4792, inOrders: 4170, corrections: 620, rejected: 2 },
        orders: { total: { orders: 1474 }, open: { orders: 0 }, missing: { orders: 0 } },
        stock: { products: 3956, opening: '187031', reserved: '0' },
      });
      const total = report.checks.find(({ name }) => name.startsWith('total of the file'));
      expect(total).toMatchObject({ ok: true, actual: '373086.011' });
      expect(report.orders.rejected.orders).toBeGreaterThan(200);
      expect(report.rejectedOrders).toHaveLength(report.orders.rejected.orders);
      expect(report.rejectedLines.map(({ line }) => line)).toEqual([3381, 4009]);
    },
    25 * MINUTES,
  );

  test(
    'a second run finds everything done',
    async () => {
      const file = join(folder, 'end.csv');
      const lines = readFileSync(sample, 'utf8').trimEnd().split('\n');
      writeFileSync(file, [lines[0], ...lines.slice(-400)].join('\n'));
      const run = async () => JSON.parse((await demo('twice', file, '--json')).output) as Report;
      const first = await run();
      expect(first).toMatchObject({ reconciled: true, orders: { open: { orders: 0 }, missing: { orders: 0 } } });
      expect(first.orders.delivered.orders).toBeGreaterThan(10);
      expect(first.lines.corrections).toBeGreaterThan(10);

      const again = await run();
      expect(again.reconciled).toBe(true);
      expect(again.orders).toEqual(first.orders);
      // Refused corrections are tried again, and some are possible now.
      expect(again.stock).toMatchObject({ opening: first.stock.opening, sold: first.stock.sold, reserved: '0' });
    },
    5 * MINUTES,
  );

  test(
    'names the problem of an invalid file, and ends with 1',
    async () => {
      const file = join(folder, 'other.csv');
      writeFileSync(file, 'InvoiceNo,StockCode\n1,2\n');
      const { code, output, errors } = await demo('whole', file);
      expect(code).toBe(1);
      expect(output).toBe('');
      expect(errors).toContain('has no column');
      // What the system logs while it starts and stops is no part of the message.
      const message = errors.split('\n').filter((line) => !line.startsWith('{"level":'));
      expect(message.join('\n')).not.toContain(' at ');
    },
    MINUTES,
  );
});
