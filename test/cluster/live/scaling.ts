/** A burst for a projector with 0 pods: it is scaled to its maximum and back to 0, and nothing is lost. */
import { generationName } from '@caudal/projections/projector.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { expect } from '@jest/globals';
import { openLog } from '../../bench/log.ts';
import { created, restocked, streamOf } from '../../bench/stock-events.ts';
import { until } from '../../e2e/wait.ts';
import { readQueue } from '../../faults/queue-watch.ts';
import { runCaudal } from '../../faults/run-caudal.ts';
import { kubectl, lookEveryMs } from './cluster.ts';
import { name, type Release, releaseTest } from './release.ts';

const burst = 20_000;
const streams = 500;
const most = 4;
const workload = `${name}-stock`;

interface Look {
  /** Seconds since the burst. */
  at: number;
  wanted: number;
  ready: number;
  waiting: number;
}

/** The pods of the Deployment, and the messages of its queue. */
async function look(release: Release, began: number): Promise<Look> {
  const [deployment, queue] = await Promise.all([
    kubectl(['get', 'deployment', workload, '-n', release.namespace, '-o', 'json']),
    readQueue(generationName(stockDashboard, 1), release.stores.namespace),
  ]);
  const { spec, status } = JSON.parse(deployment) as { spec: { replicas: number }; status: { readyReplicas?: number } };
  return {
    at: (performance.now() - began) / 1_000,
    wanted: spec.replicas,
    ready: status.readyReplicas ?? 0,
    waiting: queue ? queue.ready + queue.inFlight : 0,
  };
}

/** Checks until it is true, at most until `seconds` after the burst; returns all figures. */
async function lookUntil(
  release: Release,
  began: number,
  there: (look: Look) => boolean,
  seconds: number,
): Promise<Look[]> {
  const looks: Look[] = [];
  const next = async () => {
    const now = await look(release, began);
    looks.push(now);
    return now;
  };
  const leftMs = began + seconds * 1_000 - performance.now();
  await until(`${workload} is as expected, ${seconds} s after the burst`, next, there, leftMs, lookEveryMs);
  return looks;
}

/** Appends the burst to the log of the stock, to many streams in parallel. */
async function appendBurst({ stores }: Release): Promise<void> {
  const { log, close } = openLog({ url: stores.databaseUrl, schema: 'inventory' });
  try {
    const versions = burst / streams;
    const fill = async (product: string) => {
      const events = Array.from({ length: versions }, (_, n) => (n === 0 ? created(product) : restocked(n)));
      const { kind } = await log.append({ stream: streamOf(product), expected: 0, events });
      if (kind !== 'appended') throw new Error(`The result of the append is ${kind}.`);
    };
    await Promise.all(Array.from({ length: streams }, (_, n) => fill(`burst-${n}`)));
  } finally {
    await close();
  }
}

export function scalesOnQueues(release: () => Release): void {
  releaseTest(release)(
    `a projector goes from 0 pods to ${most} and back to 0 on a burst of ${burst} messages, and none is lost`,
    async () => {
      await lookUntil(release(), performance.now(), ({ wanted, ready }) => wanted === 0 && ready === 0, 180);
      const began = performance.now();
      await appendBurst(release());
      const appended = (performance.now() - began) / 1_000;
      const growing = await lookUntil(release(), began, ({ ready }) => ready === most, 180);
      const draining = await lookUntil(release(), began, ({ waiting }) => waiting === 0, 300);
      const shrinking = await lookUntil(release(), began, ({ wanted, ready }) => wanted === 0 && ready === 0, 600);

      const looks = [...growing, ...draining, ...shrinking];
      const first = (there: (look: Look) => boolean) => looks.find(there)!.at.toFixed(0);
      const drained = looks.findLast(({ waiting }) => waiting > 0)!.at;
      console.log(
        [
          `${burst} messages: in the log after ${appended.toFixed(1)} s, ${Math.max(...looks.map(({ waiting }) => waiting))} of them in the queue at once`,
          `first pod wanted after ${first(({ wanted }) => wanted > 0)} s, ready after ${first(({ ready }) => ready > 0)} s`,
          `${most} pods wanted after ${first(({ wanted }) => wanted === most)} s, ready after ${first(({ ready }) => ready === most)} s`,
          `drained after ${drained.toFixed(0)} s, which is the longest lag; no pod left after ${looks.at(-1)!.at.toFixed(0)} s`,
        ].join('\n'),
      );
      // Messages still waited when all pods were there: else the burst did not need them.
      expect(growing.at(-1)!.waiting).toBeGreaterThan(0);
      expect(await release().stores.deadLetters()).toEqual([]);
      const verdict = await runCaudal(release().stores.env, 'verify', 'stock-dashboard', '--json');
      expect(JSON.parse(verdict.stdout)).toMatchObject({ right: true });
    },
    1_200_000,
  );
}
