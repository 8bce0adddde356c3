/** Causes the planned faults, several at a time, and ends each of them after its time. */
import { setTimeout as delay } from 'node:timers/promises';
import { killServer, startServer } from '../servers.ts';
import type { Cluster } from './cluster.ts';
import type { History } from './history.ts';
import { describeFault, type Fault, type PlannedFault, targetOf } from './plan.ts';

/** With more faults at a time nothing would work, and then nothing could go wrong. */
const atOnce = 4;

export interface NemesisOptions {
  cluster: Cluster;
  plan: Iterator<PlannedFault>;
  history: History;
  /** Stops after this many faults, or when the signal fires. */
  limit: number;
  signal: AbortSignal;
  onFault(count: number): void;
}

/** A time in which a process could not answer: it was stopped, or did not run. */
export interface Absence {
  part: string;
  began: number;
  ended: number;
}

/**
 * Returns after all faults have ended: their number, and which process was absent when. Throws if a fault could not be
 * ended.
 */
export async function runNemesis({ cluster, plan, history, limit, signal, onFault }: NemesisOptions) {
  const broken = new Map<string, Promise<void>>();
  const absences: Absence[] = [];
  let count = 0;
  let failure: unknown;

  const inject = async (planned: PlannedFault) => {
    history.note(describeFault(planned));
    const began = history.now();
    const mend = await breakIt(planned.fault, cluster);
    await delay(planned.durationMs, undefined, { signal }).catch(() => {});
    await mend();
    if ('part' in planned.fault && !('server' in planned.fault))
      absences.push({ part: planned.fault.part, began, ended: history.now() });
    history.note(`mended ${targetOf(planned.fault)}`);
  };

  while (count < limit && !signal.aborted && !failure) {
    const planned = plan.next().value;
    await delay(planned.waitMs, undefined, { signal }).catch(() => {});
    const target = targetOf(planned.fault);
    // A fault of the same target ends first.
    await broken.get(target);
    if (broken.size >= atOnce) await Promise.race(broken.values());
    if (signal.aborted || failure) break;
    count += 1;
    onFault(count);
    const work = inject(planned)
      .catch((error) => {
        failure ??= error;
      })
      .finally(() => broken.delete(target));
    broken.set(target, work);
  }
  await Promise.all(broken.values());
  if (failure) throw failure;
  return { count, absences };
}

/** Begins the fault; returns a function that ends it. */
async function breakIt(fault: Fault, { system, gateway, links }: Cluster): Promise<() => Promise<void> | void> {
  const link = 'server' in fault && 'part' in fault ? links.find((one) => isSame(one, fault)) : undefined;
  switch (fault.kind) {
    case 'kill':
    case 'restart': {
      const part = system.part(fault.part);
      const ended = await part.end(fault.kind === 'kill' ? 'SIGKILL' : 'SIGTERM');
      const expected = fault.kind === 'kill' ? 'SIGKILL' : 0;
      if (ended !== expected) throw new Error(`${fault.part} ended with ${ended}, not ${expected}.`);
      return () => part.start();
    }
    case 'pause':
      system.part(fault.part).pause(true);
      return () => system.part(fault.part).pause(false);
    case 'kill-server':
      await killServer(fault.server);
      return () => startServer(fault.server);
    case 'cut':
      link!.proxy.refuse(true);
      link!.proxy.cut();
      return () => link!.proxy.refuse(false);
    case 'silence':
      link!.proxy.silence(true);
      return () => link!.proxy.silence(false);
    case 'delay':
      link!.proxy.delay(fault.ms);
      return () => link!.proxy.delay(0);
    case 'gateway':
      gateway.setMode(fault.mode);
      return () => gateway.setMode('normal');
  }
}

const isSame = (one: { part: string; server: string }, other: { part: string; server: string }) =>
  one.part === other.part && one.server === other.server;
