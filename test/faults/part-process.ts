/** What the system knows of a process: how long it waited, and how much memory it has. */
import { readFileSync } from 'node:fs';

/** How long its event loop has been ready to go on while others had the machine's cores, in milliseconds since its start. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

/** Memory that is resident, in MiB. */
export function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
