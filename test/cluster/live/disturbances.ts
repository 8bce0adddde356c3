/** What happens to pods while clients call them: an upgrade, a kill, a drained node. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect } from '@jest/globals';
import { until } from '../../e2e/wait.ts';
import { type CommandError, kubectl, lookEveryMs, pods } from './cluster.ts';
import { endPod, lastLine, startPod } from './pod.ts';
import { name, type Release, releaseTest } from './release.ts';

interface Tally {
  grpc: { done: number; failed: number };
  rest: { done: number; failed: number };
  placed: number;
  slowestMs: number;
  failures: Record<string, number>;
}

const none = { done: 0, failed: 0 };
const nothing: Tally = { grpc: none, rest: none, placed: 0, slowestMs: 0, failures: {} };

/** Clients in the cluster that call until `stop`. */
async function startLoad({ namespace }: Release, pod: string) {
  const tally = async (): Promise<Tally> => {
    const line = await lastLine(namespace, pod);
    return line?.startsWith('{') ? JSON.parse(line) : nothing;
  };
  /** Waits until each kind of client has done this many more calls. */
  async function goOn(calls: number): Promise<void> {
    const { grpc, rest } = await tally();
    const further = (now: Tally) => now.grpc.done >= grpc.done + calls && now.rest.done >= rest.done + calls;
    await until(`${calls} more calls of each kind, of the pod ${pod}`, tally, further, 90_000, lookEveryMs);
  }
  await goOn(50);
  return {
    tally,
    goOn,
    async stop(): Promise<Tally> {
      await delay(1_500);
      const last = await tally();
      await endPod(namespace, pod);
      return last;
    },
  };
}

/** `placed.orders` counts the orders that clients got an acknowledgement for. */
export function goesOnThroughDisturbances(release: () => Release, placed: { orders: number }): void {
  const test = releaseTest(release);

  /** Runs it while clients call; returns the tally of their calls. */
  async function under(
    what: string,
    disturb: (goOn: (calls: number) => Promise<void>) => Promise<void>,
  ): Promise<Tally> {
    const load = await startLoad(release(), await startPod(release(), 'load'));
    const began = performance.now();
    await disturb(load.goOn);
    const seconds = (performance.now() - began) / 1_000;
    await load.goOn(50);
    const tally = await load.stop();
    placed.orders += tally.placed;
    const { grpc, rest, slowestMs } = tally;
    console.log(
      `${what}: ${seconds.toFixed(0)} s; gRPC ${grpc.done} answered, ${grpc.failed} failed; REST ${rest.done} answered, ${rest.failed} failed; the slowest ${slowestMs} ms`,
    );
    return tally;
  }

  describe('under load', () => {
    test('an upgrade of every pod: no request fails', async () => {
      const { namespace, deploy } = release();
      const running = async () => (await pods(namespace)).filter(({ phase }) => phase === 'Running');
      const before = (await running()).map((pod) => pod.name);
      const tally = await under('upgrade', async () => {
        await deploy({ podAnnotations: { upgrade: 'first' } });
        // The old pods are terminated when the new ones are ready, and are removed some time later.
        await untilPods(namespace, (all) => all.every(({ ending }) => !ending));
      });
      expect((await running()).filter((pod) => before.includes(pod.name))).toEqual([]);
      expect(tally.failures).toEqual({});
      expect(tally).toMatchObject({ grpc: { failed: 0 }, rest: { failed: 0 } });
    }, 600_000);

    for (const workload of ['command', 'query'])
      test(`a process of ${workload} killed with -9: no call of gRPC clients fails`, async () => {
        const { namespace } = release();
        const [victim] = (await pods(namespace, workload)).filter(({ ready }) => ready);
        const tally = await under(`kill -9 of ${workload}`, async (goOn) => {
          await kill(namespace, victim!.name);
          await goOn(50);
          await untilPods(namespace, (all) =>
            all.some((pod) => pod.name === victim!.name && pod.ready && pod.restarts > victim!.restarts),
          );
        });
        expect(tally.grpc.failed).toBe(0);
        // The calls in flight on the broken connections. Clients that do not repeat see no other failures.
        expect(tally.rest.failed).toBeLessThanOrEqual(8);
      }, 300_000);

    test('a drained node: budgets keep a pod of each workload that has two, and no request fails', async () => {
      const { namespace } = release();
      const { items } = JSON.parse(await kubectl(['get', 'nodes', '-o', 'json'])) as {
        items: { metadata: { name: string } }[];
      };
      const node = items.at(-1)!.metadata.name;
      const selector = '--pod-selector=app.kubernetes.io/instance=caudal';
      const drain = ['drain', node, selector, '--delete-emptydir-data', '--ignore-daemonsets', '--timeout=45s'];
      const tally = await under('drain', async (goOn) => {
        try {
          const refused = await kubectl(drain, { seconds: 90 }).catch((error: CommandError) => error);
          // On one node there is no room for evicted pods: the second pod of a workload must stay until the first is
          // back.
          if (items.length === 1)
            expect((refused as CommandError).message).toMatch(/violate the pod's disruption budget/);
          for (const workload of ['command', 'query'])
            expect((await pods(namespace, workload)).filter(({ ready, ending }) => ready && !ending)).toHaveLength(1);
          await goOn(50);
        } finally {
          await kubectl(['uncordon', node]);
        }
        await untilPods(namespace, (all) => ofWorkload(all, 'command') === 2 && ofWorkload(all, 'query') === 2);
      });
      expect(tally.failures).toEqual({});
    }, 400_000);
  });
}

type Pods = Awaited<ReturnType<typeof pods>>;
const ofWorkload = (all: Pods, workload: string) =>
  all.filter((pod) => pod.name.startsWith(`${name}-${workload}-`) && pod.ready && !pod.ending).length;

async function untilPods(namespace: string, there: (all: Pods) => boolean): Promise<void> {
  const ofRelease = async () => (await pods(namespace)).filter((pod) => pod.name.startsWith(`${name}-`));
  await until('the pods are ready', ofRelease, there, 150_000, lookEveryMs);
}

/**
 * Kills the process in the pod as the OOM killer would. The pod's first process is tini, which its PID namespace
 * protects.
 */
async function kill(namespace: string, pod: string): Promise<void> {
  const script = `
    const { readdirSync, readFileSync } = require('node:fs');
    for (const pid of readdirSync('/proc').filter(Number)) {
      const command = readFileSync('/proc/' + pid + '/cmdline', 'utf8').split('\\0');
      if (Number(pid) !== 1 && Number(pid) !== process.pid && command.includes('start')) process.kill(Number(pid), 'SIGKILL');
    }`;
  await kubectl(['exec', pod, '-n', namespace, '--', 'node', '--eval', script]);
}
