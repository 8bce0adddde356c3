/**
 * Ten times more calls than the system can serve, for two minutes. Its capacity is lowered first, so that the machine
 * itself is not overloaded, and there are so many wallets that deposits do not wait for each other.
 * See README, Too much load.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wallet } from '@caudal/contract/entities.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy, type TcpProxy, through } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { freePorts, root } from '../e2e/part.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { until } from '../e2e/wait.ts';
import { newCustomer, unique } from '../e2e/world.ts';
import { ableTo, type Generator, overloadTable, rateOf, startGenerator, windowsOf } from './overload-client.ts';
import type { Outcomes, Second } from './overload-generator.ts';
import { waitedShare, watchPart } from './part-watch.ts';
import { readQueue, watchQueue } from './queue-watch.ts';
import { canBreakServers } from './servers.ts';

const maxConcurrent = 4;
/** In each direction. */
const databaseDelayMs = 5;
const wallets = 200;
const isQuick = process.env.FAULTS_QUICK !== undefined;
const overloadS = isQuick ? 30 : 120;
const times = 10;
/** A load that the system serves easily, before and after. */
const quietPerS = 50;

/**
 * Of the peak. Time in which the process was ready to run but had no core is subtracted from both rates; on an idle
 * machine there is hardly any.
 */
const leastShare = 0.8;
/** Half of the time of served calls is waiting for the database; the rest is for a busy machine. */
const servedP99Ms = 500;
const refusedP99Ms = 500;
/**
 * The process's memory, whatever the load. V8 collects garbage rarely and keeps its memory. So the heap after a
 * collection, its minimum in `heapWindowS`, is compared too: it may grow by `heapGrowthMib` only.
 */
const mostMib = 1_024;
const heapWindowS = 40;
const heapGrowthMib = 32;

/** As fast as four callers can: more messages than consumers hold, and than they handle in seconds. */
const burstS = 6;
/** The slowest handler of wallet events: it writes a document for each deposit. */
const follower = 'wallet-transactions.v2.1';
/** CAUDAL_PREFETCH's default. */
const prefetch = 512;
/** The memory of a process that follows events, however many messages wait for it. */
const mostConsumerMib = 512;

const gauges = {
  calls: 'rpc_server_calls_in_flight',
  commands: 'aggregate_commands_in_flight',
  waiting: 'postgres_pool_waiting',
};
const loopGauge = 'nodejs_eventloop_utilization';
const heapGauge = 'v8js_memory_heap_used';

(canBreakServers() ? describe : describe.skip)('ten times more calls than it can serve', () => {
  let system: System;
  let logs: SystemLogs;
  let proxy: TcpProxy;
  let generator: Generator;
  let metricsPort: number;
  const all: Outcomes[] = [];
  const report: Record<string, unknown> = {};

  beforeAll(async () => {
    proxy = await startTcpProxy(serverUrl('postgres'));
    [metricsPort] = (await freePorts(1)) as [number];
    system = await startSystem({
      form: 'processes',
      env: (part, stores): Record<string, string> => ({
        ...(part === 'command' && {
          DATABASE_URL: through(proxy, stores!.databaseUrl),
          CAUDAL_METRICS_PORT: String(metricsPort),
          CAUDAL_MAX_CONCURRENT_CALLS: String(maxConcurrent),
        }),
      }),
    });
    logs = openLogs(system);
    const walletIds = Array.from({ length: wallets }, () => unique('wallet'));
    for (const walletId of walletIds)
      await system.api.call('CreateWallet', { walletId, customerId: walletId, currency: 'GBP' });
    // After this every handler of wallet events has a queue.
    await newCustomer(system.api, 0);
    const { rest, grpc } = system.part('command');
    generator = startGenerator({ rest, grpc, token: await system.token({ subject: 'service:load' }), walletIds });
  }, 120_000);

  afterAll(async () => {
    const folder = join(root, '.caudal/faults');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'overload.json'), `${JSON.stringify(report, undefined, 2)}\n`);
    generator?.stop();
    logs?.close();
    await system?.stop();
    await proxy?.close();
  }, 120_000);

  const it = systemTest(() => system);

  async function run(order: Parameters<Generator['run']>[0]): Promise<Second[]> {
    const outcomes = await generator.run(order);
    all.push(outcomes);
    return outcomes.seconds;
  }

  it('consumers with more messages than they can take stay within their bounds, and catch up', async () => {
    const { namespace } = system.stores!;
    const consumers = ['projector', 'saga'].map((name) => system.part(name));
    for (const consumer of consumers) await consumer.end('SIGTERM');
    const servedSoFar = () => all.flatMap((outcomes) => outcomes.done).length;
    // A slow machine takes longer to make as many.
    for (let bursts = 0; bursts < 6 && servedSoFar() <= 4 * prefetch; bursts++)
      await run({ kind: 'closed', callers: maxConcurrent, seconds: burstS });
    const served = servedSoFar();
    const readQueued = async () => (await readQueue(follower, namespace))?.ready ?? 0;
    const queued = await until('all messages are in the queue', readQueued, (ready) => ready >= served, 30_000);

    const began = performance.now();
    const queue = watchQueue(follower, namespace);
    await Promise.all(consumers.map((consumer) => consumer.start()));
    const watches = consumers.map((consumer) => watchPart(consumer));
    // There are as many pennies as there were deposits.
    await until('the views show all deposits', totalBalance, (total) => total === served, 120_000);
    const seconds = Math.round((performance.now() - began) / 100) / 10;
    const { inFlight } = await queue.stop();
    await Promise.all(watches.map((watch) => watch.stop()));
    const memories = watches.map(({ samples }) => Math.round(mostOf(samples.map(({ residentMib }) => residentMib))));
    report.burst = { queued, seconds, inFlight, memories };
    console.log(
      `${queued} events in a queue: in the views after ${seconds} s, the start of their consumers included; ` +
        `at most ${inFlight} in flight; projector ${memories[0]} MiB, saga ${memories[1]} MiB`,
    );
    expect(queued).toBeGreaterThan(4 * prefetch);
    // A process that has all parts of a handler holds twice its prefetch.
    expect(inFlight).toBeLessThanOrEqual(2 * prefetch);
    for (const memory of memories) expect(memory).toBeLessThan(mostConsumerMib);
    expect(await system.stores!.deadLetters()).toEqual([]);
  }, 360_000);

  it('serves as many as it can, refuses the others at once, stays within its bounds', async () => {
    // This test is about the command role. The other processes would only take its processor time.
    for (const part of system.parts) if (part.name !== 'command') await part.end('SIGTERM');
    proxy.delay(databaseDelayMs);
    await run({ kind: 'closed', callers: maxConcurrent, seconds: 5 });
    const before = rateOf((await run({ kind: 'open', perSecond: quietPerS, seconds: 6 })).slice(1));
    const command = system.part('command');
    const watch = watchPart(command, { port: metricsPort, names: [...Object.values(gauges), loopGauge, heapGauge] });
    const peakBegan = performance.now();
    const peakSeconds = (await run({ kind: 'closed', callers: maxConcurrent, seconds: 9 })).slice(1, 9);
    const peak = { ...rateOf(peakSeconds), waited: waitedShare(watch.samples, peakBegan, peakBegan + 9_000) };
    const began = performance.now();
    const seconds = (await run({ kind: 'open', perSecond: times * peak.done, seconds: overloadS })).slice(0, overloadS);
    const ended = began + overloadS * 1_000;
    const afterwards = (await run({ kind: 'open', perSecond: quietPerS, seconds: 10 })).slice(0, 10);
    await watch.stop();

    const overload = rateOf(seconds);
    const samples = watch.samples.filter(({ at }) => at > began && at < ended);
    const windows = windowsOf(seconds).map((each, index) => {
      const from = began + index * 10_000;
      return { ...rateOf(each), waited: waitedShare(samples, from, from + 10_000) };
    });
    const heapLeft = (from: number, to: number) =>
      Math.min(
        ...samples.filter(({ at }) => at >= from && at < to).map((sample) => sample.gauges[heapGauge]! / 2 ** 20),
      );
    const memory = {
      mostResident: mostOf(samples.map(({ residentMib }) => residentMib)),
      heapFirst: heapLeft(began, began + heapWindowS * 1_000),
      heapLast: heapLeft(ended - heapWindowS * 1_000, ended),
    };
    const loop = samples.reduce((sum, sample) => sum + sample.gauges[loopGauge]!, 0) / samples.length;
    const most = Object.fromEntries(
      Object.entries(gauges).map(([name, gauge]) => [name, mostOf(samples.map((sample) => sample.gauges[gauge]!))]),
    );
    const tenth = rateOf(afterwards.slice(9));
    const found = { before, peak, overload, windows, tenth, memory, most, loop };
    Object.assign(report, { ...found, resident: samples.map(({ residentMib }) => Math.round(residentMib)) });
    console.log(overloadTable(found));

    // There is no other outcome, and the generator kept its rate.
    expect(all.map(({ instead }) => instead)).toEqual(all.map(() => ({})));
    expect(before.refused + peak.refused).toBe(0);
    expect(overload.offered).toBeGreaterThan(times * peak.done * 0.95);
    expect(overload.refused).toBeGreaterThan(overload.offered / 2);

    for (const each of windows) expect(ableTo(each)).toBeGreaterThanOrEqual(leastShare * ableTo(peak));
    expect(overload.p99).toBeLessThan(servedP99Ms);
    expect(overload.refusedP99).toBeLessThan(refusedP99Ms);

    expect(memory.mostResident).toBeLessThan(mostMib);
    if (!isQuick) expect(memory.heapLast).toBeLessThan(memory.heapFirst + heapGrowthMib);
    for (const [name, value] of Object.entries(most)) expect([name, value <= maxConcurrent]).toEqual([name, true]);

    // The tenth second is like those before the overload.
    expect(tenth.done).toBeGreaterThan(quietPerS * 0.9);
    expect(tenth.p99).toBeLessThan(Math.max(2 * before.p99, before.p99 + 50));
  }, 300_000);

  it('served deposits are in the log once, refused ones are not', async () => {
    const log = logs.readers.get('payments')!;
    const found: string[] = [];
    for (let position = 0; ; ) {
      const { events } = await log.readLog(position, { limit: 1_000 });
      if (events.length === 0) break;
      position = events.at(-1)!.position;
      for (const event of events) {
        const decoded = wallet.decode(event);
        if (decoded.$case === 'deposited') found.push(decoded.value.reference);
      }
    }
    const done = all.flatMap((outcomes) => outcomes.done);
    expect(done.length).toBeGreaterThan(1_000);
    expect(found.length).toBe(done.length);
    expect(new Set(found)).toEqual(new Set(done));
    // Alternating between REST and gRPC.
    const refused = new Set(all.flatMap((outcomes) => outcomes.refused));
    for (const remainder of [0, 1]) {
      const isOfWay = (reference: string) => Number(reference.split('-')[1]) % 2 === remainder;
      expect([...refused].filter(isOfWay).length).toBeGreaterThan(refused.size / 3);
      expect(done.filter(isOfWay).length).toBeGreaterThan(done.length / 10);
    }
    expect(found.filter((reference) => refused.has(reference))).toEqual([]);
  }, 60_000);

  async function totalBalance(): Promise<number> {
    let [total, pageToken] = [0, ''];
    do {
      const { body } = await system.api.call('ListWallets', { pageSize: 100, pageToken });
      for (const { balance } of body.wallets) total += Number(balance.minorUnits);
      pageToken = body.nextPageToken;
    } while (pageToken !== '');
    return total;
  }
});

const mostOf = (values: number[]) => Math.max(...values);
