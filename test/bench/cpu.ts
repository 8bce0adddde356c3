/** Who on this machine has used how much processor time, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** What a process belongs to, by its command line. */
const components: [name: string, pattern: RegExp][] = [
  ['postgres', /postgres/],
  ['rabbitmq', /beam\.smp|rabbitmq/],
  ['mongodb', /secantusd|mongod/],
  ['elasticsearch', /org\.elasticsearch/],
  ['redis', /redis-server/],
  ['caudal', /services\/runtime\/src\/main\.ts/],
  ['client', /test\/bench/],
];

/** The kernel's clock for process times: 100 a second wherever Linux runs. */
export const ticksPerSecond = 100;

/** Seconds that a process has used so far. Throws if it has ended. */
export function cpuSeconds(pid: number | string): number {
  // Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export type CpuTimes = Map<string, { component: string; seconds: number }>;

/** Seconds of each process so far that belongs to a component. */
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

/** Seconds of each component between two looks. What ended in between is not known any more. */
export function cpuUsed(before: CpuTimes, after: CpuTimes): Record<string, number> {
  const used = Object.fromEntries(components.map(([name]) => [name, 0]));
  for (const [pid, { component, seconds }] of after) used[component]! += seconds - (before.get(pid)?.seconds ?? 0);
  return used;
}
