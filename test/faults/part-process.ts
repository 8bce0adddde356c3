/** What Linux reports of a process: how long it waited for a core, and how much memory it has. */
import { readFileSync } from 'node:fs';

/** How long its main thread was ready to run while other processes had the cores, in milliseconds since its start. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

/** Resident memory, in MiB. */
export function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
