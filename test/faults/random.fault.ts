/**
 * Many random faults at once: orders, transfers, restocks and cancellations over two processes per role, while
 * processes and servers are killed, stopped or disconnected. Afterwards the answers are compared with the logs, and the
 * views with both, as Jepsen does. See README, The random run.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from '@caudal/testing/random.ts';
import type { ServerName } from '@caudal/testing/servers.ts';
import { expect, test } from '@jest/globals';
import { openLogs } from '../e2e/logs.ts';
import { root } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';
import { expectViewsRight } from './all-right.ts';
import { createCaller } from './random/caller.ts';
import { checkCalls } from './random/check/calls.ts';
import { checkCommands } from './random/check/commands.ts';
import { patiently, readLogs } from './random/check/log-events.ts';
import { messagesUnderWay } from './random/check/messages.ts';
import { checkPayments, checkTransfers, checkWallets } from './random/check/money.ts';
import { checkOrders } from './random/check/orders.ts';
import { checkStock } from './random/check/stock.ts';
import { makeWorld, runClients } from './random/clients.ts';
import { type Cluster, startCluster } from './random/cluster.ts';
import { finishOrders } from './random/finish.ts';
import { createHistory, type History } from './random/history.ts';
import { runNemesis } from './random/nemesis.ts';
import { planFaults } from './random/plan.ts';
import { nextRun, type Run } from './random/progress.ts';
import { canBreakServers } from './servers.ts';

const MINUTES = 60_000;
const clientCount = 8;
const servers: ServerName[] = ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'];

const run = nextRun(process.env);
const say = (text: string) => process.stderr.write(`${text}\n`);

test(
  `seed ${run.seed}: ${run.minutes} minutes of faults`,
  async () => {
    if (!canBreakServers())
      throw new Error('These servers must not be broken: "npm run test:faults" borrows servers that may be.');
    const folder = join(root, '.caudal/faults', `seed-${run.seed}`);
    mkdirSync(folder, { recursive: true });
    const history = createHistory(join(folder, 'history.jsonl'));
    const cluster = await startCluster();
    try {
      const faults = await attackAndCheck(cluster, run, history);
      say(run.done(faults));
    } catch (error) {
      throw cluster.system.explain(error);
    } finally {
      await cluster.stop();
      await history.close();
    }
  },
  (run.minutes + 20) * MINUTES,
);

/** Returns the number of faults. Throws, or fails an expectation, if anything was lost, doubled or left half done. */
async function attackAndCheck(cluster: Cluster, { seed, minutes, limit }: Run, history: History): Promise<number> {
  const { system, gateway, links } = cluster;
  const calls = checkCalls();
  const world = await makeWorld(system);
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), minutes * MINUTES);
  const since = performance.now();
  let faults = 0;
  const ticking = setInterval(() => {
    const { byStatus } = calls.report;
    say(
      `${Math.round((performance.now() - since) / MINUTES)} min: ${faults} faults, calls ${JSON.stringify(byStatus)}`,
    );
  }, MINUTES);

  const load = runClients({
    system,
    world,
    seed,
    history,
    count: clientCount,
    signal: over.signal,
    onAttempt: calls.see,
  });
  const nemesis = runNemesis({
    cluster,
    plan: planFaults(seed, { parts: system.parts.map(({ name }) => name), servers, links }),
    history,
    limit,
    signal: over.signal,
    onFault: (count) => {
      faults = count;
    },
  }).finally(() => over.abort());
  await Promise.allSettled([load, nemesis]);
  clearTimeout(timer);
  clearInterval(ticking);
  const [{ orderIds, brokenPromises }, { absences }] = await Promise.all([load, nemesis]);

  // From here on there are no faults: the system must become idle by itself.
  for (const part of system.parts) {
    await until(
      `${part.name} is ready`,
      () => part.isReady(),
      (ready) => ready,
      60_000,
    );
  }
  const logs = openLogs(system);
  try {
    await until(
      'all messages are accounted for',
      () => messagesUnderWay(system),
      (left) => left.length === 0,
      120_000,
    );
    const caller = createCaller({
      ...{ name: 'finisher', system, history, random: createRandom(seed, 'finisher'), onAttempt: calls.see },
      token: await system.token({ subject: 'finisher' }),
    });
    const ended = await finishOrders({ caller, orderIds, onEnded: () => {} });
    await until(
      'all messages are accounted for',
      () => messagesUnderWay(system),
      (left) => left.length === 0,
      120_000,
    );
    await patiently(() => logs.settledHeads());

    const events = await readLogs(logs.readers.values());
    const stock = checkStock(events);
    const wrong = {
      commands: checkCommands(history.operations, events),
      promises: brokenPromises,
      calls: [...calls.report.found, ...calls.unexcused(absences)],
      stock: stock.found,
      wallets: checkWallets(events),
      transfers: checkTransfers(events),
      payments: checkPayments(events, gateway.ledger),
      orders: checkOrders({ events, stock, ended }),
    };
    const outcomes = count(history.operations.map(({ outcome }) => outcome));
    say(`${faults} faults; commands ${JSON.stringify(outcomes)}; calls ${JSON.stringify(calls.report.byStatus)}`);
    say(`orders ${JSON.stringify(count([...ended.values()].map(({ status }) => status)))}; ${events.length} events`);
    expect(wrong).toEqual(Object.fromEntries(Object.keys(wrong).map((name) => [name, []])));

    // The run was long enough for at least one fault.
    expect(faults).toBeGreaterThan(0);
    expect(outcomes.done).toBeGreaterThan(0);
    expect(ended.size).toBeGreaterThan(0);

    for (const view of await expectViewsRight(system, 'after the faults'))
      await system.caudal('rebuild', view, '--json');
    await expectViewsRight(system, 'after a rebuild');
    const { wrong: unfolded } = JSON.parse(await system.caudal('replay', 'all', '--json'));
    expect(unfolded).toBe(0);
    return faults;
  } finally {
    logs.close();
  }
}

function count(values: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
