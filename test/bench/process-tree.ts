/** A process and all its descendants, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { residentMib } from '../faults/part-process.ts';
import { ticksPerSecond } from './cpu.ts';

/** The process and its descendants, parents first. A process that ends during the read is left out. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = fieldsOf(Number(name))?.[1];
    if (parent) children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Resident memory of the process and its descendants, in MiB, by command line. */
export function residentOf(root: number): { command: string; mib: number }[] {
  return treeOf(root).flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ command, mib: residentMib(pid) }];
    } catch {
      return [];
    }
  });
}

/**
 * Processor time of the process and its descendants so far, in seconds, with that of descendants that have ended. Linux
 * adds an ended child's time only if the parent waits for it; PostgreSQL's main process does.
 */
export function cpuSecondsOf(root: number): number {
  const ticks = treeOf(root).flatMap((pid) => fieldsOf(pid)?.slice(11, 15).map(Number) ?? []);
  return ticks.reduce((sum, each) => sum + each, 0) / ticksPerSecond;
}

/**
 * The fields of /proc/PID/stat after the name, which may contain anything: [0] is the state, [1] the parent, [11]
 * utime.
 */
function fieldsOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
