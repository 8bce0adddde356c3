/** What a queue that takes nothing costs the other handlers of its log. */
import { setTimeout as delay } from 'node:timers/promises';
import { openPacedHandlers, type PacedHandlers } from '@caudal/messaging/testing/paced-handlers.ts';
import { canBreakQueues, setLeader } from '@caudal/messaging/testing/queue-leader.ts';
import { until } from '../../e2e/wait.ts';
import { figureOf, percentile, ratioOf } from '../figures.ts';
import type { Bench, Figure } from '../types.ts';

const bench = 'broken-queue';
const perSecond = 200;
const broken = 'broken.v1';
const healthy = ['first.v1', 'second.v1', 'third.v1'];
const warmUpSeconds = 5;
/** The longest wait for what the goals expect within a minute. */
const patienceMs = 300_000;

/** What the healthy handlers got of the events from one number to before another. */
function healthyArrivals(paced: PacedHandlers, from: number, to: number) {
  const each = healthy.map((name) => paced.arrivals(name, from, to));
  if (each.some(({ missing }) => missing > 0)) throw new Error('A healthy handler has not got every event.');
  const lags = Float64Array.from(each.flatMap((of) => [...of.lags])).sort();
  const deliveries = each.reduce((sum, of) => sum + of.deliveries, 0) / (each.length * (to - from));
  return { p99: percentile(lags, 0.99), max: percentile(lags, 1), deliveries };
}

export const brokenQueue: Bench = {
  name: bench,
  title: 'A broken queue',
  compares: `${perSecond} events a second go through log, relay and RabbitMQ to four handlers, each with a queue of its own. Then the leader of one queue hangs for ten minutes, and returns. The lag of the three other handlers, from the call of append until the handler has the event, is compared with what it was in the two minutes before, in the same run. It includes the seconds in which the relay finds the queue; \`vs-before.found\` is without them. Deliveries are what the broker sends the healthy handlers, repeats included. The broken queue's handler is whole when it has every event and its queue is bound.`,
  needs: ['postgres', 'rabbitmq'],

  async run({ quick, say }) {
    if (!canBreakQueues)
      throw new Error('RABBITMQ_HOME is not set: let test/servers lend RabbitMQ, by unsetting RABBITMQ_URL.');
    const [beforeSeconds, deadSeconds] = quick ? [20, 60] : [120, 600];
    const paced = await openPacedHandlers({ names: [...healthy, broken], perSecond });
    const queue = paced.queueOf(broken);
    const healthyHave = (count: number) =>
      until('the healthy handlers have it', async () => healthy.every((name) => paced.has(name, count)), Boolean);
    const asideIs = (wanted: string) =>
      until(`set aside: ${wanted}`, paced.aside, (aside) => String(aside) === wanted, patienceMs);
    const secondsSince = (time: number) => (performance.now() - time) / 1_000;
    try {
      paced.begin();
      say('warming up');
      await delay(warmUpSeconds * 1_000);
      const start = paced.count();
      say(`${beforeSeconds} s with all queues`);
      await delay(beforeSeconds * 1_000);
      const broke = paced.count();
      await healthyHave(broke);

      await setLeader([queue], 'hangs');
      const brokeAt = performance.now();
      await asideIs(broken);
      const findingSeconds = secondsSince(brokeAt);
      say(`set aside after ${findingSeconds.toFixed(1)} s; ${deadSeconds} s without the queue`);
      await healthyHave(paced.count());
      const found = paced.count();
      await delay(Math.max(0, deadSeconds * 1_000 - secondsSince(brokeAt) * 1_000));
      const returned = paced.count();
      await healthyHave(returned);

      await setLeader([queue], 'back');
      const backAt = performance.now();
      say('the queue is back');
      await until('the handler is whole', async () => paced.has(broken, returned), Boolean, patienceMs);
      await asideIs('');
      const wholeSeconds = secondsSince(backAt);
      await paced.end();

      const before = healthyArrivals(paced, start, broke);
      const dead = healthyArrivals(paced, broke, returned);
      const afterwards = healthyArrivals(paced, found, returned);
      const one = (metric: string, unit: string, value: number, goal?: Figure['goal']) =>
        figureOf({ bench, metric, unit, goal }, [value]);
      const ratio = (metric: string, value: number, goal?: Figure['goal']) =>
        ratioOf({ bench, metric, goal }, [value], [before.p99]);
      return [
        one('before.p99', 'ms', before.p99),
        one('dead.p99', 'ms', dead.p99),
        one('dead.max', 'ms', dead.max),
        one('found-after', 's', findingSeconds),
        ratio('vs-before.p99', dead.p99, { kind: 'atMost', value: 2 }),
        ratio('vs-before.found.p99', afterwards.p99),
        one('deliveries', '/event', dead.deliveries, { kind: 'atMost', value: 1.1 }),
        one('whole-after', 's', wholeSeconds, { kind: 'atMost', value: 60 }),
      ];
    } finally {
      // One that hangs can't be deleted. It harms no queue that is there again.
      await setLeader([queue], 'back').catch(() => {});
      await paced.close();
    }
  },
};
