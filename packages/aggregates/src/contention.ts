/**
 * Streams that several processes write to at the same time. A process that loses a race for a stream decides all its
 * commands again, while the winner appends more. So where races are lost again and again, each process decides under
 * the stream's lock (`EventLog.lockStream`) for 50 ms, then releases it. The lock is advisory: the log alone decides
 * what lands.
 *
 * A stream becomes contended if a command loses 3 races in a row, or if 2 races are lost within a second while 16
 * commands or more wait. It stays contended until no lock was waited for during a second. While it is contended,
 * commands are decided under the lock only:
 *
 *   none       If there are commands, the lock is requested.
 *   requested  Commands wait.
 *   held       First the events of other processes are read. Then the 50 ms begin, in which commands are decided. After
 *              that none are. The lock is released once all in flight is settled, or as soon as there is nothing to do.
 *
 * See README, Choices, for the rejected alternatives and for processes that take no locks yet.
 */
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { Entry } from './entry.ts';

/** A stream is contended if a command has lost this many races in a row, */
const patience = 3;
/** or if at least this many commands wait while two races are lost within this time. */
const crowd = 16;
const crowdMs = 1_000;
/** A lock that took this long to get was held by another process. */
const longWaitMs = 20;
/** A stream is no longer contended after this long without such a wait. */
const calmMs = 1_000;
/** How long commands are decided under a lock. See README, Choices, for what 10 ms and 100 ms cost. */
const holdMs = 50;

export interface Contention {
  /**
   * Whether the entry's commands may be decided. If not, either the lock was requested, and `onLocked` will be called;
   * or the lock's time is over, and the caller calls again once all in flight is settled.
   */
  mayDecide(entry: Entry): boolean;
  /** The entry has nothing to do: releases its lock, if it holds one. */
  release(entry: Entry): void;
  /** The first waiting command has lost a race to another writer: its last `times` races in a row. */
  lost(entry: Entry, times: number): void;
}

export interface ContentionOptions {
  log: Pick<EventLog, 'lockStream'>;
  /** Milliseconds of a clock that never goes back. */
  elapsed(): number;
  /** The entry holds its lock. Other processes may have written before. */
  onLocked(entry: Entry): void;
  /** The stream counts as contended, now or still. */
  onContended(entry: Entry): void;
}

export function openContention({ log, elapsed, onLocked, onContended }: ContentionOptions): Contention {
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
        // The time begins after reading, since reading may take longer than the 50 ms.
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
      const contended = crowded || times >= patience;
      if (contended) entry.contendedUntilMs = now + calmMs;
      entry.lostAtMs = now;
      if (contended) onContended(entry);
    },
  };
}
