/** The processor time of the programs on this machine, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** The component of a process, by its command line. */
const components: [name: string, pattern: RegExp][] = [
  ['postgres', /postgres/],
  ['rabbitmq', /beam\.smp|rabbitmq/],
  ['mongodb', /secantusd|mongod/],
  ['elasticsearch', /org\.elasticsearch/],
  ['redis', /redis-server/],
  ['caudal', /apps\/cli\/src\/main\.ts/],
  ['client', /test\/bench/],
];

/** The kernel's unit of process times: 100 a second on every Linux. */
export const ticksPerSecond = 100;

/** Processor time of a process so far, in seconds. Throws if it has ended. */
export function cpuSeconds(pid: number | string): number {
  // After the name, which may contain anything: state is field 3, utime 14, stime 15.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export type CpuTimes = Map<string, { component: string; seconds: number }>;

/** Processor time so far of each process that belongs to a component, in seconds. */
export function cpuTimes(): CpuTimes {
  const times: CpuTimes = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      const component = components.find(([, pattern]) => pattern.test(command))?.[0];
      if (!component) continue;
      times.set(pid, { component, seconds: cpuSeconds(pid) });
    } catch {
      // It has ended.
    }
  }
  return times;
}

/**
 * Processor time of each component between two measurements, in seconds. Processes that ended in between are not
 * counted.
 */
export function cpuUsed(before: CpuTimes, after: CpuTimes): Record<string, number> {
  const used = Object.fromEntries(components.map(([name]) => [name, 0]));
  for (const [pid, { component, seconds }] of after) used[component]! += seconds - (before.get(pid)?.seconds ?? 0);
  return used;
}
