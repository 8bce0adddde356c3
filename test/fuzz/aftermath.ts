/** The state of the system after the fuzzing: as good as before, or what is wrong with it. */
import { existsSync, readFileSync } from 'node:fs';
import { expect } from '@jest/globals';
import { openLogs } from '../e2e/logs.ts';
import type { System } from '../e2e/system.ts';
import { until } from '../e2e/wait.ts';
import { deliver, newCustomer, newProduct, orderAt, orderConfirmed, placeOrder } from '../e2e/world.ts';
import { residentMib } from '../faults/part-process.ts';

/** Resident memory of the system's process in MiB; undefined without /proc. */
export const memoryOf = (system: System): number | undefined =>
  existsSync('/proc/self/status') ? residentMib(system.part('all').pid()!) : undefined;

/**
 * The growth that is allowed, in MiB. V8 lets a small heap grow by some 100 MiB before it collects all of it, caches
 * keep some MiB of what the fuzzers made, and connections have as much in buffers. A leak of 1 KiB per request would be
 * 10 MiB a run; a leak of the largest request, 4 MiB each time.
 */
const mostGrowth = 400;

/** Checks everything that can be seen from outside. Takes some seconds, because the sagas of orders must end first. */
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

  // The sagas of all orders end.
  const logs = openLogs(system);
  await logs.settledHeads(90_000).finally(logs.close);
  expect(await system.caudal('deadletters', 'list', '--json')).toBe('');
  // A view that is a moment behind the last event is not wrong yet.
  const verdict = await until(
    'every view is right',
    () => viewsOf(system),
    ({ right }) => right,
    60_000,
  );
  expect(verdict).toMatchObject({ right: true });
  expect(troubleIn(logFileOf(system))).toEqual([]);
}

/** `caudal verify all`; its exit code is 1 while a view is wrong. */
async function viewsOf(system: System): Promise<{ right: boolean }> {
  try {
    return JSON.parse(await system.caudal('verify', 'all', '--json'));
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (!stdout) throw error;
    return JSON.parse(stdout);
  }
}

/** Lines that report an internal error, or that are not JSON: a crash, or a library's own output. */
function troubleIn(logFile: string): string[] {
  const lines = readFileSync(logFile, 'utf8').split('\n');
  // `caudal start` prints its welcome before the first call.
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

/** On a busy machine a warning may say that something takes too long; that is not an error. */
const isTrouble = ({ level, code, err }: LogLine) =>
  level === 'error' ||
  level === 'fatal' ||
  code === 'INTERNAL' ||
  /^(Type|Range|Reference|Syntax)Error$/.test(err?.type ?? '');

/** The log file is named in part.trouble(). */
function logFileOf(system: System): string {
  const found = /all of it in (.+?)\)/.exec(system.part('all').trouble())?.[1];
  if (!found || !existsSync(found))
    throw new Error('The log of the system is not in the file that part.trouble() names.');
  return found;
}
