/**
 * What a caller does to others, on the real system as one process: floods of unfinished messages, bodies that are much work, and
 * calls that wait. docs/limits.md has the bounds.
 */
import { type ClientHttp2Session, connect as openSession } from 'node:http2';
import { connect as openSocket, type Socket } from 'node:net';
import { setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { encodeConsistency } from '@caudal/rpc/server/consistency-token.ts';
import { afterAll, afterEach, beforeAll, expect } from '@jest/globals';
import { memoryOf } from '../fuzz/aftermath.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';

let system: System;
let base: string;
let grpcAddress: string;
const buyer = ['orders.orders.place', 'orders.orders.read'];

beforeAll(async () => {
  system = await startSystem({ form: 'embedded', env: () => ({ CAUDAL_MAX_CONCURRENT_CALLS: '50' }) });
  base = system.part('all').rest;
  grpcAddress = system.part('all').grpc;
}, 120_000);
afterAll(async () => {
  await system?.stop();
}, 60_000);

const sessions: ClientHttp2Session[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy();
  for (const socket of sockets.splice(0)) socket.destroy();
});

const it = systemTest(() => system);
const mebibyte = 2 ** 20;

/** Calls another caller makes meanwhile: their statuses, and the slowest in milliseconds. */
async function others<T>(attack: () => Promise<T>): Promise<{ attacked: T; statuses: Set<number>; slowestMs: number }> {
  const authorization = `Bearer ${await system.token({ subject: 'modest', permissions: buyer })}`;
  const statuses = new Set<number>();
  let slowestMs = 0;
  let attacking = true;
  const calling = (async () => {
    while (attacking) {
      const began = performance.now();
      const response = await fetch(`${base}/v1/orders?customerId=modest`, { headers: { authorization } });
      await response.arrayBuffer();
      statuses.add(response.status);
      slowestMs = Math.max(slowestMs, performance.now() - began);
      // Else a quick machine takes this caller over its own bound.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const attacked = await attack().finally(() => {
    attacking = false;
  });
  await calling;
  return { attacked, statuses, slowestMs };
}

/** A gRPC message of 4 MiB less one, of which half a mebibyte is sent. */
function unfinished(path: string, headers: Record<string, string>, count: number): Promise<number[]> {
  const session = openSession(`http://${grpcAddress}`, { maxSessionMemory: 1_000 });
  session.on('error', () => {});
  sessions.push(session);
  const begun = Buffer.alloc(5 + mebibyte / 2, 0x61);
  begun[0] = 0;
  begun.writeUInt32BE(4 * mebibyte - 1, 1);
  const ends = Array.from({ length: count }, () => {
    const stream = session.request({
      ':path': path,
      ':method': 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.on('error', () => {});
    stream.write(begun);
    return new Promise<number>((resolve) => {
      stream.on('response', (received) => resolve(Number(received['grpc-status'])));
      stream.on('close', () => resolve(-1));
      setTimeout(resolve, 15_000, 0).unref();
    });
  });
  return Promise.all(ends);
}

it('unfinished messages, with a token or without, take a bounded memory, and others go on', async () => {
  const before = memoryOf(system)!;
  let peak = before;
  const watch = setInterval(() => {
    peak = Math.max(peak, memoryOf(system)!);
  }, 20);
  const powerless = `Bearer ${await system.token({ subject: 'mallory', permissions: ['nothing.at.all'] })}`;
  const mallory = `Bearer ${await system.token({ subject: 'mallory', permissions: buyer })}`;
  const { statuses, attacked } = await others(async () => {
    const health = await unfinished('/grpc.health.v1.Health/Check', {}, 260);
    const order = '/caudal.orders.v1.OrderService/PlaceOrder';
    const refused = await unfinished(order, { authorization: powerless }, 260);
    await unfinished(order, { authorization: mallory }, 260);
    for (const authorization of [powerless, mallory])
      for (let n = 0; n < 100; n++) {
        const socket = openSocket(Number(new URL(base).port), '127.0.0.1');
        socket.on('error', () => {});
        sockets.push(socket);
        socket.write(
          `POST /v1/orders HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n`,
        );
        socket.write(Buffer.alloc(mebibyte / 2, 0x20));
      }
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    return { health: new Set(health), refused: new Set(refused) };
  });
  clearInterval(watch);
  process.stdout.write(`  memory: ${Math.round(before)} MiB before, ${Math.round(peak)} MiB at most\n`);
  expect(attacked).toEqual({ health: new Set([8]), refused: new Set([7]) });
  expect(statuses).toEqual(new Set([200]));
  expect(peak - before).toBeLessThan(200);
}, 60_000);

/** The longest that a call of others may wait. */
const mostMs = 1_000;

const heavy: [string, () => string][] = [
  ['a number of four million digits', () => `{"lines":[{"productId":"x","quantity":"${'7'.repeat(4_000_000)}"}]}`],
  ['1.35 million lines', () => `{"lines":[${'{},'.repeat(1_350_000)}{}]}`],
  ['300,000 unknown keys', () => `{${Array.from({ length: 300_000 }, (_, n) => `"k${n}":0`).join()}}`],
];

for (const [what, body] of heavy)
  it(`${what}: refused, and others do not wait`, async () => {
    const authorization = `Bearer ${await system.token({ subject: `mallory of ${what}`, permissions: buyer })}`;
    const text = body();
    const attack = async () => {
      const codes: number[] = [];
      for (let n = 0; n < 5; n++) {
        const headers = { authorization, 'content-type': 'application/json' };
        const response = await fetch(`${base}/v1/orders`, { method: 'POST', headers, body: text });
        await response.arrayBuffer();
        codes.push(response.status);
      }
      return codes;
    };
    let { statuses, attacked, slowestMs } = await others(attack);
    // Another program may have had the cores meanwhile: the best of three counts.
    for (let again = 0; again < 2 && slowestMs >= mostMs; again++) {
      const more = await others(attack);
      statuses = new Set([...statuses, ...more.statuses]);
      attacked = [...attacked, ...more.attacked];
      slowestMs = Math.min(slowestMs, more.slowestMs);
    }
    // The loop is measured by test/fuzz/slowest.test.ts; before, others waited for 1.6 to 5.3 s.
    process.stdout.write(`  the slowest call of others: ${Math.round(slowestMs)} ms\n`);
    expect(attacked.every((code) => code === 400 || code === 429)).toBe(true);
    expect(attacked).toContain(400);
    expect(statuses).toEqual(new Set([200]));
    expect(slowestMs).toBeLessThan(mostMs);
  });

it('fifty calls that wait for a write that never was do not shut out others', async () => {
  const hog = `Bearer ${await system.token({ subject: 'hog', permissions: buyer })}`;
  const modest = `Bearer ${await system.token({ subject: 'modest', permissions: buyer })}`;
  // Sealed with the system's own keys: another one is ignored.
  setTokenKeys(system.tokenKeys());
  const forged = encodeConsistency([{ stream: 'orders.order/nothing', version: 1_000 }])!;
  const read = (authorization: string, headers: Record<string, string> = {}) =>
    fetch(`${base}/v1/orders?customerId=${authorization === hog ? 'hog' : 'modest'}`, {
      headers: { authorization, ...headers },
    }).then(async (response) => {
      await response.arrayBuffer();
      return response.status;
    });
  const waiting = Array.from({ length: 50 }, () => read(hog, { 'consistency-token': forged }));
  await new Promise((resolve) => setTimeout(resolve, 100));
  const statuses = await Promise.all(Array.from({ length: 40 }, () => read(modest)));
  expect(statuses.filter((code) => code === 200).length).toBeGreaterThanOrEqual(38);
  const waited = await Promise.all(waiting);
  expect(waited.every((code) => [400, 429, 503].includes(code))).toBe(true);
  await until(
    'the hog may read again',
    () => read(hog),
    (code) => code === 200,
    10_000,
  );
});
