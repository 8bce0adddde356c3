/** Stops, kills and starts the real servers by name: those of the kit that `npm run test:faults` has borrowed. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ServerName } from '@caudal/testing/servers.ts';
import { root } from '../e2e/part.ts';

const run = promisify(execFile);
const startMs = 120_000;

/** Whether the servers here may be killed: only those of a kit that was lent for it, never a developer's own. */
export const canBreakServers = () => process.env.SERVERS_HOME !== undefined;

/** Starts the server at its former address, if it does not run. Returns when it answers. */
export async function startServer(name: ServerName): Promise<void> {
  // A killed server may hold its port or files for a moment longer.
  for (let attempt = 1; ; attempt++) {
    try {
      await run(join(root, 'test/servers/servers'), ['up', name], { timeout: startMs });
      return;
    } catch (error) {
      if (attempt === 3) throw error;
      await delay(1_000);
    }
  }
}

/** Stops it in an orderly way. */
export async function stopServer(name: ServerName): Promise<void> {
  await run(join(root, 'test/servers/servers'), ['down', name], { timeout: startMs });
}

/** Kills it with -9, whatever it is doing. Its data stays. */
export async function killServer(name: ServerName): Promise<void> {
  const pid = serverPid(name);
  if (pid === undefined) return;
  process.kill(pid, 'SIGKILL');
  while (existsSync(`/proc/${pid}`) && !isZombie(pid)) await delay(20);
}

/** The id of its process; undefined if it does not run. */
export function serverPid(name: ServerName): number | undefined {
  const home = process.env.SERVERS_HOME;
  if (!home) throw new Error('SERVERS_HOME is not set: "npm run test:faults" borrows servers that may be broken.');
  const file = join(home, 'run', `${name}.pid`);
  if (!existsSync(file)) return undefined;
  const [pid, startedAt] = readFileSync(file, 'utf8').trim().split(' ').map(Number) as [number, number];
  // The id alone may belong to another process by now.
  return statOf(pid)?.[19] === String(startedAt) && !isZombie(pid) ? pid : undefined;
}

/** The fields of /proc/PID/stat from the state on (field 3 of proc(5)); undefined if there is no such process. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

const isZombie = (pid: number) => statOf(pid)?.[0] === 'Z';
