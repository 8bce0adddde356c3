/** Whether memory stays flat: every role at full load, for half an hour. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePorts, root } from '../../e2e/part.ts';
import { startSystem } from '../../e2e/system.ts';
import { readMetrics } from '../../faults/metrics.ts';
import { type Sample, watchPart } from '../../faults/part-watch.ts';
import { cpuSeconds } from '../cpu.ts';
import { figureOf } from '../figures.ts';
import { openOrderLoad, window } from '../order-load.ts';
import type { Bench, Figure } from '../types.ts';
import { openUnary } from '../unary.ts';

const bench = 'memory';
/** Caches fill and code is compiled during this share of the time, so it is not measured. */
const warmUp = 0.25;
/** The interval between two counts of the orders. */
const stepSeconds = 30;
const roles = ['command', 'query', 'relay', 'projector', 'saga'];
const heapGauge = 'v8js_memory_heap_used';

/** The memory limit of a pod in the chart, in MiB. */
const limitMib = Number.parseInt(
  parse(readFileSync(join(root, 'charts/caudal/values.yaml'), 'utf8')).resources.limits.memory,
  10,
);
/** The heap that Node 24 takes in a pod with that limit: half of it, and three young spaces of 16 MiB. */
const heap = `--max-old-space-size=${limitMib / 2} --max-semi-space-size=16`;
const collects = `--import=${fileURLToPath(new URL('../collect-garbage.ts', import.meta.url))}`;

export const memory: Bench = {
  name: 'memory',
  title: 'Memory of every role',
  compares: `One process per role on all stores, with ${window} orders in flight for 30 minutes. Resident memory of each process after the first quarter of the time. Its growth is the last third of that time divided by the first third. Kept is the heap after a collection, after an eighth of the time and at its end; its growth is the ratio of the two. A growth of 1 is flat. Each process has the heap that it would have in a pod of the chart, with a limit of ${limitMib} MiB. And processor time per order in milliseconds.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],

  async run({ quick, say }) {
    const seconds = quick ? 60 : 1_800;
    const step = quick ? 5 : stepSeconds;
    const ports = Object.fromEntries((await freePorts(roles.length)).map((port, index) => [roles[index]!, port]));
    const env = (part: string) => ({
      LOG_LEVEL: 'error',
      CAUDAL_POOL_SIZE: '8',
      CAUDAL_METRICS_PORT: String(ports[part]),
      NODE_OPTIONS: `${heap} ${collects}`,
    });
    const system = await startSystem({ form: 'processes', env });
    const watched: Record<string, Sample[]> = {};
    /** MiB of heap after a collection: in the middle of the warm-up, when caches are full, and at the end. */
    const kept: Record<string, number[]> = {};
    const collect = async () => {
      for (const { pid } of system.parts) process.kill(pid()!, 'SIGUSR2');
      await delay(2_000);
      for (const name of roles) {
        const sumOf = await readMetrics(ports[name]!);
        kept[name] = [...(kept[name] ?? []), sumOf(heapGauge) / 2 ** 20];
      }
    };
    /** From the end of the warm-up. */
    const cpu: Record<string, number> = {};
    let confirmed = 0;
    let warm = 0;
    try {
      const token = await system.token({ subject: 'bench', ttlSeconds: 7_200 });
      const { grpc } = system.part('command');
      const load = await openOrderLoad({
        databaseUrl: system.stores!.databaseUrl,
        method: (path, request, answer) => openUnary({ address: grpc, path, request, answer, token }),
      });
      const run = async (forSeconds: number) => {
        for (let left = forSeconds; left > 0; left -= step) {
          confirmed += await load.run(Math.min(step, left));
          say(`${confirmed} orders, ${Math.max(0, left - step)} s to go`);
        }
      };
      await run((seconds * warmUp) / 2);
      await collect();
      await run((seconds * warmUp) / 2);
      warm = confirmed;
      const watches = system.parts.map((part) => {
        cpu[part.name] = -cpuSeconds(part.pid()!);
        return [part.name, watchPart(part)] as const;
      });
      await run(seconds * (1 - warmUp));
      for (const { name, pid } of system.parts) cpu[name]! += cpuSeconds(pid()!);
      for (const [name, watch] of watches) {
        await watch.stop();
        watched[name] = watch.samples;
      }
      await collect();
      await load.settle();
      await load.close();
    } catch (error) {
      throw system.explain(error);
    } finally {
      await system.stop();
    }
    return [
      figureOf({ bench, metric: 'orders', unit: '/s' }, [confirmed / seconds]),
      ...roles.flatMap((role) => figuresOf(role, watched[role]!, kept[role]!)),
      ...roles.map((role) =>
        figureOf({ bench, metric: `${role}.cpu`, unit: 'ms' }, [(cpu[role]! * 1_000) / (confirmed - warm)]),
      ),
    ];
  },
};

function figuresOf(role: string, samples: Sample[], kept: number[]): Figure[] {
  const third = Math.floor(samples.length / 3);
  const [first, last] = [samples.slice(0, third), samples.slice(-third)];
  const resident = (some: Sample[]) => some.map(({ residentMib }) => residentMib);
  const median = (values: number[]) => figureOf({ bench, metric: '', unit: 'MiB' }, values).value;
  const flat = { kind: 'atMost', value: 1.1 } as const;
  return [
    figureOf({ bench, metric: `${role}.resident`, unit: 'MiB' }, resident(samples)),
    figureOf({ bench, metric: `${role}.most`, unit: 'MiB', goal: { kind: 'atMost', value: limitMib } }, [
      Math.max(...resident(samples)),
    ]),
    figureOf({ bench, metric: `${role}.growth`, unit: 'x', goal: flat }, [
      median(resident(last)) / median(resident(first)),
    ]),
    figureOf({ bench, metric: `${role}.kept`, unit: 'MiB' }, kept),
    figureOf({ bench, metric: `${role}.kept-growth`, unit: 'x', goal: flat }, [kept.at(-1)! / kept[0]!]),
  ];
}
