/** Lets commands leave that the owner of their stream can do: see docs/owners.md. */
import type { ForwardToOwner } from '@caudal/kernel/forward.ts';
import type { Entry, Job } from './entry.ts';
import type { Owners } from './owners.ts';

export interface HandOverOptions {
  owners: Owners;
  /** Processes the entry in a later turn. */
  schedule(entry: Entry): void;
  /** Takes a command out of its queues. */
  leave(job: Job): void;
  /** Releases the entry's lock. */
  release(entry: Entry): void;
}

export interface HandOver {
  /** Hands over what waits in the entry's queue. Whether the rest may be decided. */
  fromQueue(entry: Entry): boolean;
  /**
   * The owner of the first of a unit's streams, by name, that has one: so all processes send it to the same one. Undefined if that
   * is this process, or it is sought.
   */
  ownerOfUnit(job: Job): ForwardToOwner | undefined;
}

export function handOverTo({ owners, schedule, leave, release }: HandOverOptions): HandOver {
  const ownerOf = (entry: Entry) => owners.ownerOf(entry, () => schedule(entry));

  function ownerOfUnit({ entries }: Job): ForwardToOwner | undefined {
    for (const entry of entries.toSorted((a, b) => (a.stream < b.stream ? -1 : 1))) {
      const owner = owners.owns(entry.stream) ? 'sought' : ownerOf(entry);
      if (owner) return owner === 'sought' ? undefined : owner;
    }
    return undefined;
  }

  function fromQueue(entry: Entry): boolean {
    const owner = ownerOf(entry);
    if (owner === 'sought') {
      if (entry.inFlight.length === 0) release(entry);
      return false;
    }
    if (!owner) return true;
    for (const job of [...entry.waiting]) {
      // One that keeps its place until its other queues have recovered may have been done.
      if (!job.unit.forwardable || job.sent) continue;
      const to = job.entries.length === 1 ? owner : ownerOfUnit(job);
      if (!to) continue;
      leave(job);
      job.reject(to);
    }
    return true;
  }

  return { fromQueue, ownerOfUnit };
}
