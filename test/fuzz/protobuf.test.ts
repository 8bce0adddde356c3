/**
 * Random protobuf over gRPC on every method of the contract, internal ones included. Every answer is a success or a
 * client error, has a reason and nothing internal, is bounded and in time. Afterwards the system is as good as before.
 */
import { contract } from '@caudal/contract/descriptors.ts';
import { jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { catalogue } from '../../scripts/reference/catalogue.ts';
import { methodNamed } from '../e2e/api.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectUnharmed, memoryOf } from './aftermath.ts';
import { judge, type Reasons } from './answers.ts';
import { type CallerKind, type FuzzCall, fuzzCalls } from './calls.ts';
import { frameCases } from './frames.ts';
import { framed, type GrpcCaller, type GrpcReply, openGrpcCaller } from './grpc-call.ts';
import { insides } from './insides.ts';
import { howToRepeat, requests, seed } from './seed.ts';
import { makeWorld, world } from './world.ts';

let system: System;
let grpc: GrpcCaller;
let tokens: Record<CallerKind, string | undefined>;
let reasons: Reasons;
let memory: number | undefined;

/** Calls in flight. Enough to keep two cores busy, and far below the server's limit. */
const concurrency = 16;
/** A call without a deadline has 5 s; the rest is for a busy machine. */
const timeoutMs = 12_000;

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
  grpc = openGrpcCaller(system.part('all').grpc);
  reasons = new Map((await catalogue()).map(({ reason, code }) => [reason, code]));
  const permissions = [
    ...new Set(
      contract()
        .methods()
        .map(({ access }) => access.permission),
    ),
  ];
  tokens = {
    everything: await system.token({ subject: 'service:fuzz', permissions: permissions.map((each) => `${each}:any`) }),
    own: await system.token({ subject: 'fuzz-ada', permissions }),
    powerless: await system.token({ subject: 'fuzz-ada', permissions: ['nothing.at.all'] }),
    nobody: undefined,
  };
  await makeWorld(system.api);
  memory = memoryOf(system);
}, 120_000);
afterAll(async () => {
  grpc?.close();
  await system?.stop();
}, 60_000);

const it = systemTest(() => system);

it(
  `${requests} random calls`,
  async () => {
    const counts = new Map<string, number>();
    const told = new Set<string>();
    const failures: string[] = [];
    let sent = 0;
    let slowest = 0;
    const started = performance.now();
    const calls = fuzzCalls(seed, requests);
    const worker = async () => {
      for (const call of calls) {
        const number = sent++;
        const token = tokens[call.as];
        const headers = { ...(token && { authorization: `Bearer ${token}` }), ...call.headers };
        const reply = await grpc.call({ path: call.method.path, body: framed(call.message), headers }, timeoutMs);
        const { code, reason, faults } = judge(call, reply, reasons);
        counts.set(code, (counts.get(code) ?? 0) + 1);
        told.add(reason);
        slowest = Math.max(slowest, reply.ms);
        if (faults.length > 0) failures.push(described(number, call, [code, reason, ...faults].join('; ')));
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    const seconds = (performance.now() - started) / 1000;
    const codes = [...counts].sort(([, x], [, y]) => y - x).map(([code, count]) => `${count} ${code}`);
    report(`gRPC: seed ${seed}, ${sent} calls in ${seconds.toFixed(1)} s, the slowest in ${slowest.toFixed(0)} ms`);
    report(`  answers: ${codes.join(', ')}; ${told.size} reasons`);
    expect(sent).toBeGreaterThanOrEqual(requests);
    expect(failures.slice(0, 20).concat(failures.length > 0 ? [`${failures.length} in all`, howToRepeat] : [])).toEqual(
      [],
    );
  },
  120_000 + requests * 20,
);

it("violations of gRPC's rules are answered as its specification says, and harm no other call", async () => {
  const { path, request } = methodNamed('GetStockItem');
  const headers = { authorization: `Bearer ${tokens.everything}` };
  const good = jsonToBytes(request, { productId: world.product_id![0] });
  const odd: string[] = [];
  for (const each of frameCases(path, good, headers)) {
    const reply = await grpc.call(each, timeoutMs);
    const code = endOf(reply);
    const leak = insides.exec(decodeURIComponent(String(reply.headers['grpc-message'] ?? '')));
    if (!each.ends.includes(code) || leak) odd.push(`${each.title}: ${code} ${leak?.[0] ?? ''}`);
    const next = endOf(await grpc.call({ path, body: framed(good), headers }, timeoutMs));
    if (next !== 'OK') odd.push(`after ${each.title}: ${next}`);
  }
  expect(odd).toEqual([]);
}, 120_000);

function endOf({ ended, httpStatus, headers }: GrpcReply): string {
  if (ended !== 'answered') return ended;
  return httpStatus === 200 ? status[Number(headers['grpc-status'])]! : `HTTP ${httpStatus}`;
}

it('the system is as good as before', () => expectUnharmed(system, memory), 180_000);

const report = (text: string) => process.stdout.write(`${text}\n`);

function described(number: number, { method, kind, message, as, headers }: FuzzCall, what: string): string {
  const bytes = Buffer.from(message).toString('base64');
  const shown = bytes.length > 600 ? `${bytes.slice(0, 600)}... (${message.length} bytes)` : bytes;
  return `call ${number}, ${kind}, ${method.path} as ${as} ${JSON.stringify(headers).slice(0, 300)} ${shown}: ${what}`;
}
