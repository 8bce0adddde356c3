/**
 * Streams that several processes write to at the same time. A process that loses a race for a stream decides all its commands
 * again, and meanwhile the winner appends more. So where races are lost again and again, each process decides under the
 * stream's lock (`EventLog.lockStream`) for a while, then releases it. The lock is advisory: the log alone decides what lands.
 *
 * A stream is contended from the moment races are lost in a row, or often by many commands at once, until for a while no lock
 * had to be waited for. Meanwhile commands are decided under the lock only:
 *
 *   none       If there are commands, the lock is requested.
 *   requested  Commands wait.
 *   held       The events of others are read. From then on the time counts, and commands are decided. After that none are;
 *              once all in flight is settled, or as soon as there is nothing to do, the lock is released.
 *
 * The package's README has what was rejected, and what happens with a process that takes no locks yet.
 */
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { Entry } from './entry.ts';

/** A stream is contended if a command has lost so many races in a row, */
const patience = 3;
/** or if so many commands wait while two races are lost within this time. */
const crowd = 16;
const crowdMs = 1_000;
/** A lock that was waited for as long as this was held by another process. */
const longWaitMs = 20;
/** A stream is no longer contended after this long without such a wait. */
const calmMs = 1_000;
/** How long commands are decided under a lock. 10 ms waste time on handing over, 100 ms make others wait for up to 0.3 s. */
const holdMs = 50;

export interface Contention {
  /**
   * Whether the entry's commands may be decided. If not, either the lock was requested, and `onLocked` will be called; or its
   * time is over, and the caller asks again once all in flight is settled.
   */
  mayDecide(entry: Entry): boolean;
  /** The entry has nothing to do: releases its lock, if it holds one. */
  release(entry: Entry): void;
  /** The first of the commands that wait has lost a race to another writer, the last of so many in a row. */
  lost(entry: Entry, times: number): void;
}

export interface ContentionOptions {
  log: Pick<EventLog, 'lockStream'>;
  /** Milliseconds by a clock that never goes back. */
  elapsed(): number;
  /** The entry holds its lock; other processes may have written before. */
  onLocked(entry: Entry): void;
}

export function openContention({ log, elapsed, onLocked }: ContentionOptions): Contention {
  async function request(entry: Entry): Promise<void> {
    entry.lock = 'requested';
    const requestedMs = elapsed();
    const unlock = await log.lockStream!(entry.stream);
    const now = elapsed();
    if (now - requestedMs >= longWaitMs) entry.contendedUntilMs = now + calmMs;
    entry.lock = { endsAtMs: undefined, unlock };
    onLocked(entry);
  }

  function release(entry: Entry): void {
    if (!entry.lock || entry.lock === 'requested') return;
    entry.lock.unlock();
    entry.lock = undefined;
  }

  return {
    mayDecide(entry) {
      const now = elapsed();
      const { lock } = entry;
      if (lock === 'requested') return false;
      if (lock) {
        // The time begins now that all is read: reading may have taken longer than it lasts.
        lock.endsAtMs ??= now + holdMs;
        if (now < lock.endsAtMs) return true;
        if (entry.inFlight.length > 0) return false;
        release(entry);
      }
      if (!log.lockStream || now >= entry.contendedUntilMs) return true;
      void request(entry);
      return false;
    },
    release,
    lost(entry, times) {
      const now = elapsed();
      const crowded = entry.waiting.size >= crowd && now - entry.lostAtMs < crowdMs;
      if (crowded || times >= patience) entry.contendedUntilMs = now + calmMs;
      entry.lostAtMs = now;
    },
  };
}
