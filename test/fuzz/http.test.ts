/**
 * Broken HTTP on the REST port, byte by byte: requests that no HTTP client would send. Every one is answered in time; a
 * refusal is a problem+json with a client error.
 */
import { afterAll, beforeAll, expect } from '@jest/globals';
import { catalogue } from '../../scripts/reference/catalogue.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectUnharmed, memoryOf } from './aftermath.ts';
import { judgeHttp } from './http-answers.ts';
import { exchange } from './http-exchange.ts';
import { httpRequests } from './http-requests.ts';
import { howToRepeat, requests, seed } from './seed.ts';
import { makeWorld } from './world.ts';

/** Fewer than of the others, because there are fewer ways to break HTTP. */
const count = Math.ceil(requests / 4);
const concurrency = 16;
const timeoutMs = 15_000;

let system: System;
let memory: number | undefined;

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
  await makeWorld(system.api);
  memory = memoryOf(system);
}, 120_000);
afterAll(() => system?.stop(), 60_000);

const it = systemTest(() => system);

it(
  `${count} broken requests`,
  async () => {
    const reasons = new Map((await catalogue()).map(({ reason, code }) => [reason, code]));
    const port = Number(new URL(system.part('all').rest).port);
    const counts = new Map<string, number>();
    const failures: string[] = [];
    const started = performance.now();
    const waiting = httpRequests(seed, count, await system.token({ subject: 'fuzz-ada' })).values();
    const worker = async () => {
      for (const request of waiting) {
        const answer = await exchange(port, request, timeoutMs);
        const { statuses, faults } = judgeHttp(request, answer, reasons);
        const end = statuses.join(' then ') || answer.ended;
        counts.set(end, (counts.get(end) ?? 0) + 1);
        if (faults.length > 0) failures.push(`${end}; ${faults.join('; ')}: ${shown(request.bytes)}`);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    const seconds = (performance.now() - started) / 1000;
    const ends = [...counts].sort(([, a], [, b]) => b - a).map(([end, times]) => `${times} ${end}`);
    process.stdout.write(`HTTP: seed ${seed}, ${count} requests in ${seconds.toFixed(1)} s: ${ends.join(', ')}\n`);
    expect(failures.slice(0, 20).concat(failures.length > 0 ? [`${failures.length} in all`, howToRepeat] : [])).toEqual(
      [],
    );
  },
  120_000 + count * 20,
);

it('the system is as good as before', () => expectUnharmed(system, memory), 180_000);

/** Without the token, which is secret and long. */
function shown(bytes: Buffer): string {
  const text = JSON.stringify(bytes.toString('latin1')).replace(/eyJ[\w.-]{200,}/, 'TOKEN');
  return text.length > 700 ? `${text.slice(0, 700)}... (${bytes.length} bytes)` : text;
}
