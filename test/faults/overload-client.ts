/** The parent of the generator: starts it, tells it which load to offer, and receives the outcomes. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { quantile } from './outage-findings.ts';
import type { Order, Outcomes, Second, Target } from './overload-generator.ts';

export interface Generator {
  run(order: Exclude<Order, { kind: 'target' }>): Promise<Outcomes>;
  stop(): void;
}

/** The time that a run may take beyond its duration, for the last answers. */
const graceMs = 30_000;

/** Starts the generator, without debugger options or those of jest. */
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
  /** Calls answered per second, on average. */
  offered: number;
  done: number;
  refused: number;
  p50: number;
  p99: number;
  max: number;
  refusedP99: number;
  lateMs: number;
}

/** The rate over some seconds. */
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

/** Groups the seconds by ten. An incomplete group at the end is dropped. */
export function windowsOf(seconds: Second[], size = 10): Second[][] {
  return Array.from({ length: Math.floor(seconds.length / size) }, (_, index) =>
    seconds.slice(index * size, (index + 1) * size),
  );
}

/** A rate, and the share of the time in which the server process was ready to run and had no core. */
export type Watched = Rate & { waited: number };

/** Calls served per second in which the process had a core. */
export function ableTo({ done, waited }: Watched): number {
  return done / (1 - waited);
}

/** The overload as a report. */
export function overloadTable(found: {
  before: Rate;
  peak: Watched;
  overload: Rate;
  windows: Watched[];
  tenth: Rate;
  /** In MiB; for the heap, the minimum in the first and in the last seconds. */
  memory: { mostResident: number; heapFirst: number; heapLast: number };
  most: Record<string, number>;
  /** The share of the time in which the process was busy. */
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
    `without a core at the peak: ${Math.round(100 * peak.waited)} %; with that subtracted, of the peak in the worst ten: ` +
      `${Math.round((100 * least) / ableTo(peak))} %`,
    `memory: at most ${Math.round(memory.mostResident)} MiB; heap after a collection: ` +
      `${Math.round(memory.heapFirst)} MiB at the beginning, ${Math.round(memory.heapLast)} MiB at the end`,
    `busy: ${Math.round(100 * loop)} % of its time`,
    `at most: ${Object.entries(most)
      .map(([name, value]) => `${value} ${name}`)
      .join(', ')}`,
  ].join('\n');
}
