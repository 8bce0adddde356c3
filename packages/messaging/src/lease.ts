/**
 * Work that only one of several processes does at a time, from a checkpoint on. The lease is renewed beside the work,
 * so a slow step does not lose it. A signal fires if it is lost. The work must be safe to do twice: a process that is
 * suspended past its lease continues before it finds out.
 */
import type { Epoch } from '@caudal/eventlog/epochs.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { acquire, advance, type Fence, type Lease, lower, release, setBack } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';

/** Unique to this process, as the holder of a checkpoint must be. */
export const processHolder = newId();

export interface Leadership {
  /** Where the checkpoint stood, and in which epoch of the log. */
  readonly position: number;
  readonly logEpoch: Epoch;
  /** Makes a statement of this database void once another process has the lease. */
  readonly fence: Fence;
  /** Fires when the lease is lost, and when the work is stopped. */
  readonly signal: AbortSignal;
  /** Moves the checkpoint, within an epoch of the log. False: the lease is lost, nothing was moved. */
  advance(position: number, logEpoch?: number): Promise<boolean>;
  /**
   * Moves the checkpoint to another epoch of the log, and back to this position; and back to `kept` those that follow from it. False:
   * the lease is lost.
   */
  setBack(position: number, logEpoch: Epoch, followers?: { names: string[]; kept: number }): Promise<boolean>;
}

export interface LeaseOptions {
  database: Database;
  /** The checkpoint's name. */
  name: string;
  /** Unique to the running process; `processHolder` if absent. */
  holder?: string;
  ttlMs: number;
  signal: AbortSignal;
  /** Called whenever another process holds the lease, or should. */
  onWaiting?(): void;
  /** Whether this process should try to take it now; always if absent. */
  mayTake?(): Promise<boolean>;
  /** Pause between two tries; a quarter of `ttlMs`, give or take half of that, if absent. */
  waitMs?(): number | undefined;
}

const log = logger('lease');

/**
 * Runs `work` whenever this process gets the lease, until `signal` fires; resolves when the work in flight has ended.
 * If the work throws, it starts again from the checkpoint after a pause, in the process that takes the lease first.
 * Never throws.
 */
export async function whileLeading(options: LeaseOptions, work: (lease: Leadership) => Promise<void>): Promise<void> {
  const { database, name, holder = processHolder, ttlMs, signal, onWaiting, mayTake, waitMs } = options;
  let failures = 0;

  const lead = async ({ epoch, position, logEpoch, logEpochAfter }: Lease, since: number): Promise<void> => {
    const lost = new AbortController();
    const ended = AbortSignal.any([signal, lost.signal]);
    let renewedAt = since;
    const move = async (to?: number, of?: number): Promise<boolean> => {
      const asked = performance.now();
      const good = await advance(database, { name, epoch, position: to, ttlMs, logEpoch: of });
      if (good) renewedAt = asked;
      else lost.abort();
      return good;
    };
    const renew = async () => {
      while (!lost.signal.aborted) {
        // Renews until the work has ended, which may be some time after the signal. The random part spreads leases that
        // were taken together, so that one connection is enough to renew them.
        await sleep((ttlMs / 3) * (0.8 + Math.random() * 0.2), lost.signal);
        if (lost.signal.aborted || performance.now() - renewedAt < ttlMs / 4) continue;
        await move().catch((error: unknown) => {
          log.warn({ lease: name, err: error }, 'the lease could not be renewed');
          if (performance.now() - renewedAt > ttlMs) lost.abort();
        });
      }
    };
    const renewing = renew();
    try {
      await work({
        position,
        logEpoch: { number: logEpoch, after: logEpochAfter },
        fence: { name, epoch },
        signal: ended,
        advance: async (to, of) => {
          const good = await move(to, of);
          if (good) failures = 0;
          return good;
        },
        setBack: async (to, of, followers) => {
          const good = await database.transaction(async (tx) => {
            const moved = await setBack(tx, { name, epoch, position: to, logEpoch: of });
            if (moved && followers) await lower(tx, followers.names, followers.kept);
            return moved;
          });
          if (!good) lost.abort();
          return good;
        },
      });
    } finally {
      lost.abort();
      await renewing;
      // If this fails the lease expires by itself.
      await release(database, { name, epoch }).catch(() => {});
    }
  };

  while (!signal.aborted) {
    const since = performance.now();
    try {
      const lease = mayTake && !(await mayTake()) ? undefined : await acquire(database, { name, holder, ttlMs });
      if (lease) await lead(lease, since);
      else {
        onWaiting?.();
        await sleep(waitMs?.() ?? (ttlMs / 4) * (0.5 + Math.random()), signal);
      }
    } catch (error) {
      failures += 1;
      if (!signal.aborted)
        log.warn({ lease: name, err: error, failures }, 'the work under a lease was interrupted: it starts again');
      await sleep(backoffMs(failures, { firstMs: 100, maxMs: 2_000 }), signal);
    }
  }
}
