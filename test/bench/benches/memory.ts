/** Whether memory stays flat: every role at full load, for half an hour. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from '../../e2e/part.ts';
import { startSystem } from '../../e2e/system.ts';
import { residentMib } from '../../faults/part-process.ts';
import { cpuSeconds } from '../cpu.ts';
import { figureOf } from '../figures.ts';
import { openOrderLoad, window } from '../order-load.ts';
import type { Bench, Figure } from '../types.ts';
import { openUnary } from '../unary.ts';

const bench = 'memory';
/** Caches fill and code is compiled: what is used before this share of the time is not yet what a process needs. */
const warmUp = 0.25;
const looks = 60;

/** What the chart lets a pod have, in MiB. */
const limitMib = Number.parseInt(
  parse(readFileSync(join(root, 'charts/caudal/values.yaml'), 'utf8')).resources.limits.memory,
  10,
);
/** The heap that Node 24 takes in a pod with that limit: a half of it, and three spaces of 16 MiB for what is young. */
const heap = `--max-old-space-size=${limitMib / 2} --max-semi-space-size=16`;

export const memory: Bench = {
  name: 'memory',
  title: 'Memory of every role',
  compares: `A process a role on all stores, ${window} orders on their way at a time for 30 minutes. Resident memory of each, from the first quarter of the time on: the median of the last third of these looks by that of the first third. 1 is flat. Each has the heap that it would have in a pod of the chart, whose limit is ${limitMib} MiB. And milliseconds of processor time an order.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],

  async run({ quick, say }) {
    const minutes = quick ? 1 : 30;
    const system = await startSystem({
      form: 'processes',
      env: () => ({ LOG_LEVEL: 'error', CAUDAL_POOL_SIZE: '8', NODE_OPTIONS: heap }),
    });
    const used: Record<string, number[]> = {};
    /** From the end of the warm-up on. */
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
      for (let look = 1; look <= looks; look++) {
        confirmed += await load.run((minutes * 60) / looks);
        say(`${look} of ${looks}: ${confirmed} orders`);
        if (look === looks * warmUp) {
          warm = confirmed;
          for (const { name, pid } of system.parts) cpu[name] = -cpuSeconds(pid()!);
        }
        if (look <= looks * warmUp) continue;
        for (const { name, pid } of system.parts) {
          used[name] ??= [];
          used[name].push(residentMib(pid()!));
        }
      }
      for (const { name, pid } of system.parts) cpu[name]! += cpuSeconds(pid()!);
      await load.settle();
      await load.close();
    } catch (error) {
      throw system.explain(error);
    } finally {
      await system.stop();
    }
    const figures: Figure[] = [figureOf({ bench, metric: 'orders', unit: '/s' }, [confirmed / (minutes * 60)])];
    for (const [name, sizes] of Object.entries(used)) {
      const third = Math.floor(sizes.length / 3);
      const of = (part: number[]) => figureOf({ bench, metric: '', unit: 'MiB' }, part).value;
      const growth = of(sizes.slice(-third)) / of(sizes.slice(0, third));
      figures.push(
        figureOf({ bench, metric: `${name}.resident`, unit: 'MiB' }, sizes),
        figureOf({ bench, metric: `${name}.most`, unit: 'MiB', goal: { kind: 'atMost', value: limitMib } }, [
          Math.max(...sizes),
        ]),
        figureOf({ bench, metric: `${name}.growth`, unit: 'x', goal: { kind: 'atMost', value: 1.1 } }, [growth]),
        figureOf({ bench, metric: `${name}.cpu`, unit: 'ms' }, [(cpu[name]! * 1_000) / (confirmed - warm)]),
      );
    }
    return figures;
  },
};
