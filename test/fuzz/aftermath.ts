/** How the system is after all that: as well as before, or what is wrong with it. */
import { existsSync, readFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { openLogs } from '../e2e/logs.ts';
import type { System } from '../e2e/system.ts';
import { until } from '../e2e/wait.ts';
import { deliver, newCustomer, newProduct, orderAt, orderConfirmed, placeOrder } from '../e2e/world.ts';
import { residentMib } from '../faults/part-process.ts';

/** What the process of the system needs in memory, in MiB; undefined where there is no /proc. */
export const memoryOf = (system: System): number | undefined =>
  existsSync('/proc/self/status') ? residentMib(system.part('all').pid()!) : undefined;

/**
 * What it may grow by, in MiB: V8 lets the heap of a process with little in it grow by some 100 MiB before it collects all of
 * it, caches of aggregates and views keep what the fuzzers have made (some MiB), and buffers of connections come to as
 * much. A request of 1 KiB that is never let go would be 10 MiB a run; one of the largest, 4 MiB each time.
 */
const mostGrowth = 400;

/** Checks everything that can be seen from outside. Takes some seconds, since the processes of orders must end first. */
export async function expectUnharmed(system: System, memoryBefore: number | undefined): Promise<void> {
  const part = system.part('all');
  expect(await part.isReady()).toBe(true);

  const productId = await newProduct(system.api);
  const customerId = await newCustomer(system.api);
  const { orderId } = await placeOrder(system.api, { customerId, productId });
  await orderConfirmed(system.api, orderId);
  await deliver(system.api, orderId);
  await orderAt(system.api, orderId, 'DELIVERED');

  const memory = memoryOf(system);
  if (memoryBefore !== undefined && memory !== undefined) {
    process.stdout.write(`  memory: ${Math.round(memoryBefore)} MiB before, ${Math.round(memory)} MiB after\n`);
    expect(memory - memoryBefore).toBeLessThan(mostGrowth);
  }

  // The processes of all the orders that were placed come to their ends.
  const logs = openLogs(system);
  await logs.settledHeads(90_000).finally(logs.close);
  expect(await system.caudal('deadletters', 'list', '--json')).toBe('');
  // What is behind a moment after the last event is not wrong yet.
  const verdict = await until(
    'every view is right',
    () => viewsOf(system),
    ({ right }) => right,
    60_000,
  );
  expect(verdict).toMatchObject({ right: true });
  expect(troubleIn(logFileOf(system))).toEqual([]);
}

/** `caudal verify all`; its exit code is 1 while something is wrong. */
async function viewsOf(system: System): Promise<{ right: boolean }> {
  try {
    return JSON.parse(await system.caudal('verify', 'all', '--json'));
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (!stdout) throw error;
    return JSON.parse(stdout);
  }
}

/** Lines that tell of something that went wrong inside, or that are no lines of the log: a crash, a library's own words. */
function troubleIn(logFile: string): string[] {
  const lines = readFileSync(logFile, 'utf8').split('\n');
  // The welcome of `caudal start` comes before anybody calls.
  const welcome = lines.findLastIndex((line) => line.startsWith('Caudal is up')) + 1;
  const end = lines.findIndex((line, index) => index > welcome && line.startsWith('{'));
  return lines
    .slice(end)
    .filter((line) => line !== '' && (!line.startsWith('{') || isTrouble(JSON.parse(line))))
    .map((line) => line.slice(0, 1_000));
}

interface LogLine {
  level: string;
  code?: string;
  err?: { type?: string };
}

/** That something takes too long on a busy machine is told as a warning too, and is no trouble. */
const isTrouble = ({ level, code, err }: LogLine) =>
  level === 'error' ||
  level === 'fatal' ||
  code === 'INTERNAL' ||
  /^(Type|Range|Reference|Syntax)Error$/.test(err?.type ?? '');

/** Told in what the part says of itself. */
function logFileOf(system: System): string {
  const found = /all of it in (.+?)\)/.exec(system.part('all').trouble())?.[1];
  if (!found || !existsSync(found)) throw new Error('The log of the system is not where it says.');
  return found;
}
