/** Each server is unreachable for 20 s, under a load of all kinds of calls. See README, Unreachable servers. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import type { ServerName } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { Json } from '../e2e/api.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { root } from '../e2e/part.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { balanceOf, deliver, orderConfirmed, placeOrder, stockOf } from '../e2e/world.ts';
import { type Callers, deadlineMs, openCallers } from './measured-calls.ts';
import { findingsOf, type Row, table } from './outage-findings.ts';
import { makeWorld, money, type Noted, pieces, price, startLoad, type World } from './outage-load.ts';
import { canBreakServers, killServer, startServer, stopServer } from './servers.ts';

/**
 * kill -9 for servers that should lose what they had in flight. An orderly stop where that is harder for clients. See
 * README, Unreachable servers.
 */
const outages: { server: ServerName; how: 'kill -9' | 'stop' }[] = [
  { server: 'postgres', how: 'kill -9' },
  { server: 'rabbitmq', how: 'stop' },
  { server: 'mongodb', how: 'kill -9' },
  { server: 'elasticsearch', how: 'stop' },
  { server: 'redis', how: 'kill -9' },
];

const awayMs = 20_000;
/** The interval of each kind of call. With eleven kinds that is 33 calls a second. */
const everyMs = 330;
/** What a busy machine may add to any time that is measured from outside. */
const slackMs = 1_000;
/**
 * Half of the refused calls of a kind are answered within this time. Waiting for the deadline would take ten times as
 * long.
 */
const soonMs = 500;
/** From a server's return: until the last call is refused, and until a new order is ready to ship. */
const answersWithinS = 10;
const flowsWithinS = 20;

(canBreakServers() ? describe : describe.skip)('each server away for 20 s under load', () => {
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;
  let callers: Callers;
  let world: World;
  let pids: number[];
  const rows: Row[] = [];
  /** All commands of the load, with their final answers. */
  const commands: Noted[] = [];

  beforeAll(async () => {
    gateway = await startSandboxGateway();
    system = await startSystem({
      form: 'processes',
      copies: 2,
      env: () => ({ PAYMENTS_GATEWAY_URL: gateway.url, PAYMENTS_GATEWAY_TIMEOUT: '2s' }),
    });
    logs = openLogs({ ...system, part: () => system.part('command-1') });
    callers = openCallers({
      api: system.api,
      grpcOf: (role) => system.parts.filter(({ name }) => name.startsWith(role)).map(({ grpc }) => grpc),
      token: await system.token({ subject: 'service:load' }),
    });
    world = await makeWorld(system.api);
    pids = system.parts.map((part) => part.pid()!);
  }, 120_000);

  afterAll(async () => {
    const folder = join(root, '.caudal/faults');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'outages.json'), `${JSON.stringify(rows, undefined, 2)}\n`);
    console.log(table(rows));
    callers?.close();
    logs?.close();
    await system?.stop();
    await gateway?.stop();
  }, 120_000);

  const it = systemTest(() => system);

  for (const outage of outages) {
    const { server, how } = outage;
    it(`${server}: ${how}`, async () => {
      const { noted, times, unwell } = await goThrough(outage);
      const { row, wrong, needing, ages } = findingsOf(noted, times, outage);
      rows.push(row);
      expect(wrong).toEqual([]);
      expect(unwell).toEqual([]);
      expect(row.slowestMs).toBeLessThan(deadlineMs + slackMs);

      const affected = world.kinds.filter(({ needs }) => needs === server);
      expect(Object.keys(needing).sort()).toEqual(affected.map(({ name }) => name).sort());
      for (const [name, { answered, refused, p50 }] of Object.entries(needing)) {
        expect([name, answered]).toEqual([name, 0]);
        expect(refused).toBeGreaterThan(awayMs / everyMs / 3);
        expect([name, p50 < soonMs]).toEqual([name, true]);
      }
      if (affected.length > 0) expect(row.p50).toBeLessThan(soonMs);
      const cached = world.kinds.filter(({ cacheOf }) => cacheOf === server);
      expect(Object.keys(ages).sort()).toEqual(cached.map(({ name }) => name).sort());
      for (const [name, told] of Object.entries(ages)) {
        expect([name, told.filter((age) => age === undefined)]).toEqual([name, []]);
        // The store was unreachable, so the answers' age grows with time.
        expect(told.at(-1)! - told[0]!).toBeGreaterThan((awayMs / 1000) * 0.6);
      }
      expect(row.answersAfterS).toBeLessThan(answersWithinS);
      expect(row.flowsAfterS).toBeLessThan(flowsWithinS);

      commands.push(...noted.filter(({ kind }) => kind.writes));
      await leadToTheirEnds(noted);
      expect(await system.stores!.deadLetters()).toEqual([]);
      expect(system.parts.map((part) => part.pid())).toEqual(pids);
    }, 150_000);
  }

  it('nothing was lost, doubled or left half done', async () => {
    const ofMethod = (name: string) =>
      commands.filter(({ kind }) => kind.method === name).map(({ request }) => request);
    const [deposits, orders] = [ofMethod('Deposit'), ofMethod('PlaceOrder')];
    expect(Math.min(deposits.length, orders.length)).toBeGreaterThan(100);
    await logs.settledHeads();
    for (const walletId of world.customerIds) {
      const paidIn = deposits.filter((deposit) => deposit.walletId === walletId).length;
      const bought = orders.filter(({ paymentMethod }) => paymentMethod.walletId === walletId).length;
      expect([walletId, await balanceOf(system.api, walletId)]).toEqual([walletId, money + paidIn - price * bought]);
    }
    for (const productId of world.productIds) {
      const left = String(pieces - orders.filter(({ lines }) => lines[0].productId === productId).length);
      expect(await stockOf(system.api, productId)).toMatchObject({ onHand: left, reserved: '0', available: left });
    }
    const charges = [...gateway.ledger.values()];
    expect(charges).toHaveLength(orders.filter(({ paymentMethod }) => paymentMethod.cardToken).length);
    expect(charges.filter(({ taken, givenBack }) => taken !== 1 || givenBack !== 0)).toEqual([]);

    const { right, views } = JSON.parse(await system.caudal('verify', 'all', '--json'));
    expect({ right, wrong: views.filter((view: Json) => !view.right) }).toEqual({ right: true, wrong: [] });
    expect(await system.stores!.deadLetters()).toEqual([]);
  }, 90_000);

  /** One outage under load, with a health check of all processes. Whatever happens, the server runs afterwards. */
  async function goThrough({ server, how }: (typeof outages)[number]) {
    const load = startLoad(callers, world.kinds, everyMs);
    const health = watchHealth(system);
    try {
      await delay(2_000);
      const stopping = performance.now();
      await (how === 'stop' ? stopServer(server) : killServer(server));
      const away = performance.now();
      await delay(awayMs);
      const starting = performance.now();
      await startServer(server);
      const back = performance.now();
      await newOrderFlows(back);
      const flowing = performance.now();
      await load.stop();
      const times = { stopping, away, starting, back, flowing };
      return { noted: load.noted, times, unwell: await health.stop() };
    } finally {
      await Promise.all([load.stop(), health.stop(), startServer(server)]);
    }
  }

  /** A new order is ready to ship soon. Calls that are refused until then are part of the load's findings. */
  async function newOrderFlows(since: number): Promise<void> {
    for (;;) {
      const placed = await placeOrder(system.api, world.spare).catch((error: Error) => error);
      if (!(placed instanceof Error)) return void (await orderConfirmed(system.api, placed.orderId));
      if (performance.now() - since > flowsWithinS * 1_000) throw placed;
      await delay(100);
    }
  }

  /**
   * Repeats refused commands, and leads all orders to their delivery, step by step: all are shipped before any is
   * delivered.
   */
  async function leadToTheirEnds(noted: Noted[]): Promise<void> {
    const { api } = system;
    const written = noted.filter(({ kind }) => kind.writes);
    await manyAtOnce(written, async ({ kind, request, code }) => {
      if (code !== 'OK') await api.insist(kind.method, request);
    });
    const orderIds = written.flatMap(({ kind, request }) => (kind.method === 'PlaceOrder' ? [request.orderId] : []));
    await manyAtOnce(orderIds, async (orderId) => {
      await orderBecomes(
        orderId,
        ({ status, shipment }) => isStatus(status, 'CONFIRMED') && shipment?.status === 'created',
      );
      await deliver(api, orderId);
    });
    await manyAtOnce(orderIds, (orderId) =>
      orderBecomes(orderId, ({ status, payment }) => isStatus(status, 'DELIVERED') && payment?.status === 'succeeded'),
    );
  }

  /** Polls at intervals: to poll hundreds of orders all the time would leave no time for the system's own work. */
  async function orderBecomes(orderId: string, there: (order: Json) => boolean): Promise<void> {
    const until = performance.now() + 60_000;
    for (;;) {
      const { body } = await system.api.send('GetOrder', { orderId });
      if (there(body)) return;
      if (performance.now() > until) throw new Error(`${orderId} does not get on: ${JSON.stringify(body)}`);
      await delay(250);
    }
  }
});

const isStatus = (status: string, name: string) => status === `ORDER_STATUS_${name}`;

const manyAtOnce = <T>(items: T[], work: (item: T) => Promise<void>) => forEachConcurrent(items, 10, work);

/** Checks the health of all processes, once a second. `stop` returns what was wrong. */
function watchHealth({ parts }: System): { stop(): Promise<string[]> } {
  const unwell: string[] = [];
  let over = false;
  const look = async (url: string) => {
    const status = await fetch(url, { signal: AbortSignal.timeout(5_000) }).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.status;
      },
      (error) => `${error}`,
    );
    if (status !== 200) unwell.push(`${url}: ${status}`);
  };
  const watching = (async () => {
    while (!over) {
      const urls = parts.flatMap(({ grpc }) => ['livez', 'readyz'].map((path) => `http://${grpc}/${path}`));
      await Promise.all(urls.map(look));
      await delay(1_000);
    }
  })();
  return {
    async stop() {
      over = true;
      await watching;
      return unwell;
    },
  };
}
