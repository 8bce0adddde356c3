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
 * A unit (docs/units.md) needs the locks of all its contended streams. It takes them in the order of the streams' names, and
 * releases those of later names before it waits for one. A queue that stands behind a unit that waits for its turn elsewhere
 * holds no lock. So no process waits for a lock while it holds one of a later name, and processes can't wait for each other in
 * a circle. The 50 ms of all of them begin when it has all.
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
   * Whether commands of all these entries may be decided. If not, either a lock was requested, and `onLocked` will be called;
   * or the time of one is over, and the caller calls again once all in flight is settled.
   */
  mayDecide(entries: Entry[]): boolean;
  /** The entry has nothing to do, or can't do it: releases its lock, if it holds one. */
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

  /** Whether the entry holds its lock, or needs none. A lock whose time is over is released. */
  function isOpen(entry: Entry, now: number): boolean {
    const { lock } = entry;
    if (lock === 'requested') return false;
    if (lock) {
      if (lock.endsAtMs === undefined || now < lock.endsAtMs) return true;
      if (entry.inFlight.length > 0) return false;
      release(entry);
    }
    return !log.lockStream || now >= entry.contendedUntilMs;
  }

  /** The time begins after reading, since reading may take longer than the 50 ms. */
  function begin({ lock }: Entry, now: number): void {
    if (lock && lock !== 'requested') lock.endsAtMs ??= now + holdMs;
  }

  return {
    mayDecide(entries) {
      const now = elapsed();
      const ordered = entries.length > 1 ? inLockOrder(entries) : entries;
      const lacking = ordered.findIndex((entry) => !isOpen(entry, now));
      if (lacking === -1) {
        for (const entry of entries) begin(entry, now);
        return true;
      }
      for (const later of ordered.slice(lacking + 1)) if (later.inFlight.length === 0) release(later);
      const entry = ordered[lacking]!;
      if (!entry.lock) void request(entry);
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

/** The entries in the order in which their locks are taken. */
function inLockOrder(entries: Entry[]): Entry[] {
  return entries.toSorted((a, b) => (a.stream < b.stream ? -1 : 1));
}
