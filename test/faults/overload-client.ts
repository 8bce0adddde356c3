/** The generator's other end: starts it, tells it what to offer, and hears what came of it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { quantile } from './outage-findings.ts';
import type { Order, Outcomes, Second, Target } from './overload-generator.ts';

export interface Generator {
  run(order: Exclude<Order, { kind: 'target' }>): Promise<Outcomes>;
  stop(): void;
}

/** What a run may take beyond its time, until the last answer is there. */
const graceMs = 30_000;

/** Starts it with no debugger's or jest's own options. */
export function startGenerator(target: Target): Generator {
  const child = fork(fileURLToPath(new URL('overload-generator.ts', import.meta.url)), {
    serialization: 'advanced',
    execArgv: [],
    env: { PATH: process.env.PATH },
  });
  child.send({ kind: 'target', target } satisfies Order);
  return {
    async run(order) {
      child.send(order);
      const signal = AbortSignal.timeout(order.seconds * 1000 + graceMs);
      const [outcomes] = await once(child, 'message', { signal });
      return outcomes as Outcomes;
    },
    stop() {
      if (child.connected) child.disconnect();
      else child.kill();
    },
  };
}

export interface Rate {
  /** Answered a second, on average. */
  offered: number;
  done: number;
  refused: number;
  p50: number;
  p99: number;
  max: number;
  refusedP99: number;
  lateMs: number;
}

/** What some seconds come to. */
export function rateOf(seconds: Second[]): Rate {
  const average = (of: (second: Second) => number) =>
    Math.round(seconds.reduce((sum, second) => sum + of(second), 0) / seconds.length);
  const doneMs = seconds.flatMap((second) => second.doneMs);
  return {
    offered: average(({ offered }) => offered),
    done: average(({ done }) => done),
    refused: average(({ refused }) => refused),
    p50: quantile(doneMs, 0.5),
    p99: quantile(doneMs, 0.99),
    max: quantile(doneMs, 1),
    refusedP99: quantile(
      seconds.flatMap(({ refusedMs }) => refusedMs),
      0.99,
    ),
    lateMs: Math.round(Math.max(...seconds.map(({ lateMs }) => lateMs))),
  };
}

/** The seconds, ten by ten. What is left over at the end is not looked at. */
export function windowsOf(seconds: Second[], size = 10): Second[][] {
  return Array.from({ length: Math.floor(seconds.length / size) }, (_, index) =>
    seconds.slice(index * size, (index + 1) * size),
  );
}

/** A rate, and the share of the time in which who serves it was ready to go on and had no core. */
export type Watched = Rate & { waited: number };

/** What is served in a second that has nothing of that. */
export function ableTo({ done, waited }: Watched): number {
  return done / (1 - waited);
}

/** What the overload was like, as people read it. */
export function overloadTable(found: {
  before: Rate;
  peak: Watched;
  overload: Rate;
  windows: Watched[];
  tenth: Rate;
  /** In MiB; of the heap, the least in the first and the last seconds. */
  memory: { mostResident: number; heapFirst: number; heapLast: number };
  most: Record<string, number>;
  /** The share of its time that the process had something to do. */
  loop: number;
}): string {
  const { before, peak, overload, windows, tenth, memory, most, loop } = found;
  const line = (name: string, rate: Rate) =>
    [name.padEnd(22), rate.offered, rate.done, rate.refused, rate.p50, rate.p99, rate.max, rate.refusedP99, rate.lateMs]
      .map((value) => String(value).padStart(9))
      .join(' ');
  const least = Math.min(...windows.map(ableTo));
  const inAll = windows.map(({ done, waited }) => `${done} (${Math.round(100 * waited)} %)`);
  return [
    `${' '.repeat(22)}   offered    served   refused    p50 ms    p99 ms    max ms  refused p99  made late ms`,
    line('before', before),
    line('peak', peak),
    line('overload', overload),
    line('tenth second after', tenth),
    `served a second, ten by ten, and the share of the time without a core: ${inAll.join(', ')}`,
    `without a core at the peak: ${Math.round(100 * peak.waited)} %; with that left out, of the peak in the worst ten: ` +
      `${Math.round((100 * least) / ableTo(peak))} %`,
    `memory: at most ${Math.round(memory.mostResident)} MiB; of the heap are left after a collection ` +
      `${Math.round(memory.heapFirst)} MiB at first, ${Math.round(memory.heapLast)} MiB at last`,
    `busy: ${Math.round(100 * loop)} % of its time`,
    `at most: ${Object.entries(most)
      .map(([name, value]) => `${value} ${name}`)
      .join(', ')}`,
  ].join('\n');
}
