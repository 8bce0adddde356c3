/** What the system knows of a part's process: which it is, and how much memory it has. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Part } from '../e2e/part.ts';

/** The process that serves the part's gRPC port, by the setting that it was started with. Throws if there is none. */
export function pidOf(part: Part): number {
  const setting = `CAUDAL_GRPC_PORT=${part.grpc.split(':')[1]}`;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(setting)) return Number(entry);
    } catch {
      // It has ended, or is somebody else's.
    }
  }
  throw new Error(`No process has ${setting}.`);
}

/** How long its event loop has been ready to go on while others had the machine's cores, in milliseconds since its start. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

/** Memory that is resident, in MiB. */
export function residentMib(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}
