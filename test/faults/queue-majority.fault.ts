/**
 * A RabbitMQ cluster of three nodes on which a single queue loses its majority, then one node is killed, then two, while
 * a log takes 200 events a second. See README, One fault at a time.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openPacedHandlers, type PacedHandlers } from '@caudal/messaging/testing/paced-handlers.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { percentile } from '../bench/figures.ts';
import { root } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';
import { describeNeeding } from './describe-needing.ts';
import { hasRabbitMq, type RabbitCluster, startRabbitCluster } from './rabbitmq-cluster.ts';

const names = ['first.v1', 'second.v1', 'third.v1', 'broken.v1'];
const broken = 'broken.v1';
const healthy = names.filter((name) => name !== broken);
/** A queue that is back has everything within this time, and so has every other after a node's return. */
const wholeMs = 60_000;
/** A queue that has come back three times, and breaks once more, waits for so long until it is probed: relapses.ts. */
const relapseMs = 80_000;
/** A node's own start is not counted, but its queues' elections are. */
const foundMs = 30_000;
/** Less than a queue is away: whatever waits for it waits longer. */
const heldUpMs = 7_000;
/** A minute and more after its first attempt to consume the queue, the broker closes a connection. */
const brokenConsumerMs = 45_000;

const needs = {
  servers: ['postgres'] as const,
  others: { 'RabbitMQ of Debian: apt-get install rabbitmq-server': hasRabbitMq() },
};

describeNeeding({ ...needs, servers: [...needs.servers] }, 'a RabbitMQ cluster of three nodes', () => {
  let cluster: RabbitCluster;
  let paced: PacedHandlers;
  const figures: Record<string, unknown>[] = [];

  beforeAll(async () => {
    cluster = await startRabbitCluster();
    // Only for this test: jest gives each file an environment of its own.
    Object.assign(process.env, { RABBITMQ_URL: cluster.url });
    // Without reconciliation: what the relay promises must hold without it.
    paced = await openPacedHandlers({ names, perSecond: 200, reconciliation: false });
    paced.begin();
    await everybodyHas();
  }, 150_000);

  afterAll(async () => {
    await paced?.close();
    await cluster?.stop();
    const folder = join(root, '.caudal/faults');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'queue-majority.json'), `${JSON.stringify(figures, null, 2)}\n`);
  }, 60_000);

  /** Waits until the handlers have the events so far, under load. */
  async function everybodyHas(which = names, withinMs = foundMs): Promise<void> {
    const count = paced.count();
    for (const name of which)
      await until(`${name} has ${count} events`, async () => paced.has(name, count), Boolean, withinMs);
  }

  const asideIs = (wanted: string[], withinMs: number) =>
    until(`set aside: ${wanted}`, paced.aside, (aside) => String(aside) === String(wanted), withinMs);

  /** Seconds until a handler has everything, and nothing is set aside. */
  async function untilWhole(withinMs = wholeMs): Promise<number> {
    const began = performance.now();
    await everybodyHas(names, withinMs);
    await asideIs([], withinMs);
    const seconds = (performance.now() - began) / 1_000;
    expect(seconds * 1_000).toBeLessThan(withinMs);
    return seconds;
  }

  /** What the handlers got of the events from one number to before another; nothing is missing. */
  function summary(from: number, to: number, which = names) {
    const each = which.map((name) => paced.arrivals(name, from, to));
    expect(each.map(({ missing }) => missing)).toEqual(which.map(() => 0));
    const lags = Float64Array.from(each.flatMap((of) => [...of.lags])).sort();
    return {
      events: to - from,
      p50: Math.round(percentile(lags, 0.5)),
      p99: Math.round(percentile(lags, 0.99)),
      max: Math.round(percentile(lags, 1)),
      deliveries: Math.max(...each.map(({ deliveries }) => deliveries / (to - from))),
    };
  }

  /** A queue loses members, which are back later. `whileAway` runs once it is set aside. */
  async function breaks(lost: string, members: (nodes: string[]) => string[], whileAway: () => Promise<void>) {
    const queue = paced.queueOf(broken);
    const nodes = await cluster.members(queue);
    expect([...nodes].sort()).toEqual(cluster.nodes);
    const start = paced.count();
    await delay(3_000);
    const gone = members(nodes);
    const broke = paced.count();
    await cluster.setMembers(queue, gone, 'stopped');
    await asideIs([broken], foundMs);
    const found = paced.count();
    await whileAway();
    const back = paced.count();
    await everybodyHas(healthy, heldUpMs);
    expect(paced.has(broken, back)).toBe(false);
    await cluster.setMembers(queue, gone, 'running');
    const seconds = await untilWhole();
    const end = paced.count();
    await everybodyHas();
    figures.push({
      lost,
      before: summary(start, broke, healthy),
      finding: summary(broke, found, healthy),
      away: summary(found, back, healthy),
      returning: summary(back, end, healthy),
      secondsUntilWhole: seconds,
    });
    // Each batch that is in flight when the queue breaks comes twice, or three times if it breaks just then.
    expect(summary(broke, back, healthy).deliveries).toBeLessThan(2);
    // Nothing waits for the queue once it is set aside.
    expect(summary(found, back, healthy).max).toBeLessThan(heldUpMs);
  }

  test(
    'a queue that has lost its leader and a follower is set aside; the others go on; it comes back whole',
    () =>
      // Messages are refused, or nothing is said.
      breaks(
        'leader and follower',
        (nodes) => nodes.slice(0, 2),
        () => delay(8_000),
      ),
    120_000,
  );

  test('so is one that has lost both followers; a process that starts meanwhile consumes the others', async () => {
    // Only the leader is left, which takes messages and confirms none.
    let begun: (name: string) => number = () => 0;
    await breaks(
      'both followers',
      (nodes) => nodes.slice(1),
      async () => {
        begun = paced.join();
        await until(
          'consuming has begun anew',
          async () => begun(broken),
          (times) => times >= 3,
          90_000,
        );
        await delay(brokenConsumerMs);
      },
    );
    // By now the broker has closed a connection on which the queue was consumed, if it was not closed before.
    expect(healthy.map(begun)).toEqual(healthy.map(() => 1));
  }, 200_000);

  test('a node is killed and comes back: the others go on, nothing is lost', async () => {
    const [leader] = await cluster.members(paced.queueOf(broken));
    const start = paced.count();
    await cluster.kill(leader!);
    await delay(2_000);
    // Two nodes of three are a majority.
    await everybodyHas(names, wholeMs);
    const returned = paced.count();
    await cluster.start(leader!);
    const seconds = await untilWhole(wholeMs + relapseMs);
    figures.push({ lost: 'a node', whole: summary(start, returned), secondsUntilWhole: seconds });
  }, 400_000);

  test('two nodes are killed: nobody confirms, so nothing is set aside and the checkpoint waits', async () => {
    const [leader, second] = await cluster.members(paced.queueOf(broken));
    const killed = [leader!, second!];
    const start = paced.count();
    await Promise.all(killed.map(cluster.kill));
    // What had been confirmed by then is noted.
    await delay(1_000);
    const at = await position(paced.database, 'relay');
    await delay(15_000);
    expect(await paced.aside()).toEqual([]);
    expect(await position(paced.database, 'relay')).toBe(at);
    const returned = paced.count();
    await Promise.all(killed.map(cluster.start));
    const seconds = await untilWhole(wholeMs + relapseMs);
    figures.push({ lost: 'two nodes', whole: summary(start, returned), secondsUntilWhole: seconds });
  }, 450_000);

  test('in the end every handler has every event', async () => {
    await paced.end();
    await everybodyHas();
    expect(await paced.aside()).toEqual([]);
    summary(0, paced.count());
  }, 60_000);
});
