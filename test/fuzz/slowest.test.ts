/**
 * The slowest body that can be made for each method, over both protocols, of the most bytes that the method takes: none holds the
 * loop for more than 50 ms, whatever becomes of it. What is measured is all that happens to a request between its last byte and
 * the handler, in this process and without a network: the processor time of the thread, and the best of several times, so that a busy
 * machine changes nothing.
 */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { decode } from '@caudal/rpc/grpc/decode.ts';
import { decodeRest } from '@caudal/rpc/rest/decode.ts';
import { toProblem } from '@caudal/rpc/rest/problem.ts';
import { type Endpoint, endpoints } from '@caudal/rpc/server/endpoint.ts';
import { boundOf } from '@caudal/rpc/server/request-size.ts';
import { defaultLimits } from '@caudal/rpc/server/server.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { damaged } from './corrupt.ts';
import type { Heavy } from './heavy.ts';
import { heavyJson } from './heavy-json.ts';
import { heavyWire } from './heavy-wire.ts';
import { seed } from './seed.ts';
import { servicesOfContract } from './services-of-contract.ts';

/** The most that one request may hold the loop. */
const mostMs = 50;
/**
 * Each body is tried again only while it is above this: most take a fraction of a millisecond. What is refused in a place of its own runs
 * code that is not compiled yet, and takes four times as long until it is.
 */
const goodMs = 20;
const tries = 20;
/** Randomly damaged bodies for each method, besides those that are made on purpose. */
const random = Number(process.env.FUZZ_HEAVY ?? 0);

interface Slowest {
  ms: number;
  kind: string;
  bodies: number;
  /** The most that one body has left on the heap before it was collected. */
  mebibytes: number;
}

const all = endpoints(servicesOfContract());

/** The work on a request, up to its handler or to its refusal. */
function work(endpoint: Endpoint, read: () => unknown): void {
  try {
    const request = read();
    endpoint.validate.caller(request);
    endpoint.readMask?.(request);
    endpoint.commandId?.(request, 'fuzz');
  } catch (error) {
    if (!(error instanceof CaudalError)) throw error;
    JSON.stringify(toProblem(error, 'fuzz'));
  }
}

function measure(endpoint: Endpoint, bodies: Iterable<Heavy>, read: (bytes: Buffer) => unknown): Slowest {
  const slowest: Slowest = { ms: 0, kind: '', bodies: 0, mebibytes: 0 };
  for (const { kind, bytes } of bodies) {
    slowest.bodies++;
    let best = Number.POSITIVE_INFINITY;
    for (let time = 0; time < tries && best > goodMs; time++) {
      const before = process.memoryUsage();
      const began = process.threadCpuUsage();
      work(endpoint, () => read(bytes));
      const { user, system } = process.threadCpuUsage(began);
      best = Math.min(best, (user + system) / 1_000);
      const after = process.memoryUsage();
      const grown = after.heapUsed + after.external - before.heapUsed - before.external;
      slowest.mebibytes = Math.max(slowest.mebibytes, grown / 2 ** 20);
    }
    if (best > slowest.ms) Object.assign(slowest, { ms: best, kind });
  }
  return slowest;
}

/** The bodies made on purpose, and some of them damaged. */
function* withDamage(make: () => Iterable<Heavy>): Generator<Heavy> {
  yield* make();
  if (random === 0) return;
  // All at once would take gibibytes.
  const all: Heavy[] = [];
  let place = 0;
  for (const { kind, bytes } of make()) if (place++ % 8 === 0) all.push({ kind, bytes: Buffer.from(bytes) });
  const some = fc.sample(damaged(fc.constantFrom(...all.map(({ bytes }) => bytes))), { numRuns: random, seed });
  for (const bytes of some) yield { kind: 'damaged', bytes: Buffer.from(bytes) };
}

const table: string[][] = [];

test.each(all.map((endpoint) => [endpoint.contract.path, endpoint] as const))(
  '%s: no body holds the loop for 50 ms',
  (path, endpoint) => {
    const { contract: of } = endpoint;
    const size = boundOf(of, defaultLimits.maxMessageBytes);
    const found: [string, Slowest][] = [];
    found.push([
      'gRPC',
      measure(
        endpoint,
        withDamage(() => heavyWire(of.request, size)),
        (bytes) => decode(endpoint, bytes),
      ),
    ]);
    for (const rule of of.http.filter(({ body }) => body)) {
      const request = { params: paramsOf(rule.template), url: rule.template, headers: {} };
      const bodies = withDamage(() => heavyJson(of.request, size));
      found.push(['REST', measure(endpoint, bodies, (body) => decodeRest(endpoint, rule, { ...request, body }))]);
    }
    for (const rule of of.http.filter(({ body }) => !body)) {
      const read = (bytes: Buffer) =>
        decodeRest(endpoint, rule, {
          params: paramsOf(rule.template),
          url: bytes.toString(),
          headers: {},
          body: Buffer.of(),
        });
      found.push(['query', measure(endpoint, heavyQueries(of), read)]);
    }
    for (const [protocol, { ms, kind, bodies, mebibytes }] of found)
      table.push([protocol, path.slice(1), String(bodies), ms.toFixed(1), mebibytes.toFixed(1), kind]);
    expect(found.filter(([, { ms }]) => ms > mostMs)).toEqual([]);
  },
  120_000,
);

test('the slowest of each method', () => {
  const rows = table.sort((one, other) => Number(other[3]) - Number(one[3]));
  const head = ['over', 'method', 'bodies', 'ms', 'MiB', 'the slowest'];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  process.stdout.write(`${[head, ...rows].map(line).join('\n')}\n`);
  // None is left out: a new service has to be added to services-of-contract.ts.
  expect(all.map((endpoint) => endpoint.contract.path).sort()).toEqual(
    contract()
      .methods()
      .map(({ path }) => path)
      .sort(),
  );
});

const paramsOf = (template: string): Record<string, string> =>
  Object.fromEntries([...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => [name!, 'x'.repeat(1_000)]));

/** Node refuses a path and headers of more than 16 KiB. */
const querySize = 15_000;

function* heavyQueries({ request }: MethodContract): Generator<Heavy> {
  const query = (kind: string, text: string): Heavy => ({ kind, bytes: Buffer.from(`/?${text.slice(0, querySize)}`) });
  const many = (text: string) => text.repeat(querySize / text.length);
  for (const { jsonName } of request.fields) {
    yield query(`many ${jsonName}`, many(`${jsonName}=a&`));
    yield query(`digits in ${jsonName}`, `${jsonName}=${many('7')}`);
    yield query(`names in ${jsonName}`, `${jsonName}=${many('a,')}`);
    yield query(`dots in ${jsonName}`, `${jsonName}=${many('.')}`);
    yield query(`steps below ${jsonName}`, `${jsonName}${many('.a')}=1`);
  }
  yield query('steps', `${many('a.')}=1`);
  yield query('many names', many('a&'));
  yield query('ampersands', many('&'));
  yield query('escapes', `a=${many('%41')}`);
  yield query('broken escapes', `a=${many('%4')}`);
}
