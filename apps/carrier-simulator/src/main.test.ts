/** The command, and its files as the importer reads them. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTraces } from '@caudal/importer/traces/read-traces.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Carrier, parcelOf } from './parcels.ts';
import { numberOf, type Report } from './report.ts';

const main = join(import.meta.dirname, 'main.ts');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carrier-simulator-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

function run(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

describe('the command', () => {
  test('says what it can do, and what is wrong', async () => {
    expect(await run('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('--disorder N') });
    expect(await run()).toEqual({
      code: 2,
      stdout: '',
      stderr: 'Give one of --to, --file and --port; --help says more.\n',
    });
    expect(await run('--file', 'x', '--parcels', '0')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--parcels is "0"'),
    });
    expect(await run('--colour')).toMatchObject({ code: 2, stderr: expect.stringContaining('--colour') });
  }, 120_000);

  test.each(['ndjson', 'csv'] as const)(
    'a file of %s has what the report says, and the importer reads it',
    async (format) => {
      const file = join(folder, `traces.${format}`);
      const args = [
        '--file',
        file,
        '--parcels',
        '300',
        '--seed',
        '5',
        '--duplicates',
        '0.3',
        '--disorder',
        '200',
        '--json',
      ];
      const { code, stdout } = await run(...args);
      expect(code).toBe(0);
      const report = JSON.parse(stdout) as Report;
      const seen = new Set<string>();
      let lines = 0;
      let sum = 0n;
      for await (const read of readTraces({ chunks: createReadStream(file), format })) {
        if (!('trace' in read)) throw new Error(`line ${read.line}: ${read.problem}`);
        lines += 1;
        const { carrier, trackingNumber, eventId, happenedAt, place } = read.trace;
        const key = `${carrier}|${trackingNumber}|${eventId}`;
        expect(place).toMatchObject({ name: expect.any(String), latitude: expect.any(Number) });
        if (seen.has(key)) continue;
        seen.add(key);
        const parcel = { ...parcelOf({ seed: 5, startAt: 0 }, 0), carrier: carrier as Carrier, trackingNumber };
        sum += numberOf({ parcel, event: { ...parcel.events[0]!, at: happenedAt.getTime() } });
      }
      expect(lines).toBe(report.events);
      expect(seen.size).toBe(report.events - report.duplicates);
      expect(String(BigInt.asUintN(64, sum))).toBe(report.sum);
    },
    120_000,
  );
});
