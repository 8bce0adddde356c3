/** Reads a process's memory and metrics once a second. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Part } from '../e2e/part.ts';
import { readMetrics } from './metrics.ts';
import { residentMib, waitedMs } from './part-process.ts';

export interface Sample {
  /** By performance.now(). */
  at: number;
  residentMib: number;
  /** Since the process began: how long it was ready to run, and had no core. */
  waitedMs: number;
  /** For each requested gauge, the sum over its labels. */
  gauges: Record<string, number>;
}

export interface Watch {
  samples: Sample[];
  stop(): Promise<void>;
}

/** `gauges`: the names to read, and the metrics port of the process. */
export function watchPart(part: Part, gauges?: { port: number; names: string[] }): Watch {
  const pid = part.pid()!;
  const samples: Sample[] = [];
  let over = false;
  const watching = (async () => {
    while (!over) {
      const at = performance.now();
      samples.push({
        at,
        residentMib: residentMib(pid),
        waitedMs: waitedMs(pid),
        gauges: gauges ? await readGauges(gauges) : {},
      });
      await delay(Math.max(0, 1_000 - (performance.now() - at)));
    }
  })();
  // An error because the process has ended is reported when the watch is stopped.
  watching.catch(() => {});
  return {
    samples,
    stop() {
      over = true;
      return watching;
    },
  };
}

/** The share of the time from `from` to `to` in which the process waited for a core; NaN if it was not watched then. */
export function waitedShare(samples: Sample[], from: number, to: number): number {
  const within = samples.filter(({ at }) => at >= from && at <= to);
  const [first, last] = [within[0], within.at(-1)];
  return first && last ? (last.waitedMs - first.waitedMs) / (last.at - first.at) : Number.NaN;
}

async function readGauges({ port, names }: { port: number; names: string[] }): Promise<Record<string, number>> {
  const sumOf = await readMetrics(port);
  return Object.fromEntries(names.map((name) => [name, sumOf(name)]));
}
