/**
 * Schemathesis over the OpenAPI document that the system serves: requests that follow it and requests that violate it,
 * on every operation. No answer is a 5xx or shows anything internal, each refusal is a problem+json, and the document
 * describes what the server does.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contract } from '@caudal/contract/descriptors.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { catalogue } from '../../scripts/reference/catalogue.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectUnharmed, memoryOf } from './aftermath.ts';
import { insides } from './insides.ts';
import { installSchemathesis, type Outcome, runSchemathesis } from './schemathesis.ts';
import { howToRepeat, requests, seed } from './seed.ts';
import { makeWorld, world } from './world.ts';

const required = process.env.CAUDAL_REQUIRE_SERVERS === 'all';
const installed = await installSchemathesis();
const missing = 'missing' in installed ? installed.missing : undefined;

if (missing !== undefined && required) {
  test('schemathesis', () => {
    throw new Error(`Schemathesis is not installed: ${missing}`);
  });
} else if (missing !== undefined) {
  describe.skip(`schemathesis (${missing})`, () => test('is installed', () => {}));
} else {
  describeFuzzing((installed as { python: string }).python);
}

function describeFuzzing(python: string): void {
  const operations = contract()
    .methods()
    .reduce((count, { http, access }) => count + (access.internal ? 0 : http.length), 0);
  /** The limit on a busy machine: a request takes 10 ms of a core. */
  const timeoutMs = 120_000 + requests * 60;

  let system: System;
  let memory: number | undefined;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'caudal-fuzz-'));
    system = await startSystem({ form: 'embedded' });
    await makeWorld(system.api);
    memory = memoryOf(system);
  }, 120_000);
  afterAll(async () => {
    await system?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  const it = systemTest(() => system);

  it(
    `${requests} requests`,
    async () => {
      const facts = join(folder, 'facts.json');
      const reasons = Object.fromEntries((await catalogue()).map(({ reason, code }) => [reason, code]));
      writeFileSync(
        facts,
        JSON.stringify({
          reasons,
          insides: insides.source,
          known: { ...world, currency: ['GBP'], name: ['coupon'] },
          seed,
        }),
      );
      const started = performance.now();
      const outcome = await runSchemathesis({
        python,
        baseUrl: system.part('all').rest,
        token: await system.token({ subject: 'fuzz-ada' }),
        seed,
        // The other phases have more than that.
        perOperation: Math.max(10, Math.ceil((requests - 1_500) / operations)),
        phases: ['examples', 'coverage', 'fuzzing', 'stateful'],
        facts,
        folder,
        timeoutMs,
      });
      const total = tell(outcome, (performance.now() - started) / 1000);
      const { failures, exitCode } = outcome;
      expect(
        failures.slice(0, 10).concat(failures.length > 0 ? [`${failures.length} in all`, howToRepeat] : []),
      ).toEqual([]);
      expect([exitCode, exitCode === 0 ? '' : outcome.output.slice(-3_000)]).toEqual([0, '']);
      expect(total).toBeGreaterThanOrEqual(requests);
      for (const check of ['bounded', 'closed', 'problem'])
        expect(outcome.checks.get(check)).toBeGreaterThanOrEqual(requests);
    },
    timeoutMs + 30_000,
  );

  it('the system is as good as before', () => expectUnharmed(system, memory), 180_000);
}

/** Prints what was done; returns how many requests were answered. */
function tell({ requests: sent, statuses, checks }: Outcome, seconds: number): number {
  const total = [...sent.values()].reduce((sum, count) => sum + count, 0);
  const list = (counts: Map<string | number, number>) =>
    [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
  const lines = [
    `REST: seed ${seed}, ${total} requests in ${seconds.toFixed(1)} s: ${list(sent)}`,
    `  answers: ${list(new Map([...statuses].sort(([a], [b]) => a - b)))}`,
    `  checks: ${list(checks)}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return total;
}
