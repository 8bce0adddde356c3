/**
 * Waits for a log to grow, for any number of readers at the price of one: they share a connection that listens, and
 * one look at the log's head after each notification. Notifications can be lost (and a standby has none), so the head is
 * also looked at by itself, at first soon, then more and more rarely.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { listen } from '@caudal/postgres/listen.ts';
import { channelOf } from './notify.ts';

export interface Watch extends Running {
  /**
   * Resolves when the log has grown past `position`, when `waitMs` are over, when `signal` fires, or when the head can't
   * be read: whoever waits then reads, and gets the error.
   */
  wait(position: number, waitMs: number, signal?: AbortSignal): Promise<void>;
  /** The log has grown: look now. */
  wake(): void;
}

interface Waiter {
  position: number;
  done(): void;
}

const firstPollMs = 20;
const maxPollMs = 250;

export async function headPosition(database: Database): Promise<number> {
  const rows = await database.query<{ position: number }>({
    name: 'eventlog-head',
    text: 'SELECT position FROM head',
  });
  return rows[0]!.position;
}

export function watch(database: Database): Watch {
  const waiters = new Set<Waiter>();
  const stopping = new AbortController();
  let listener: Running | undefined;
  let looking: Promise<void> | undefined;
  let pause = new AbortController();

  const release = (isDone: (waiter: Waiter) => boolean) => {
    for (const waiter of waiters) if (isDone(waiter)) waiter.done();
  };
  // With a reason: without one, each makes an exception.
  const wake = () => pause.abort('woken');

  /** Looks at the head as long as somebody waits. */
  async function look(): Promise<void> {
    let pollMs = firstPollMs;
    while (waiters.size > 0 && !stopping.signal.aborted) {
      // Made before the look, so that a wake-up during it is not lost.
      pause = new AbortController();
      const ending = AbortSignal.any([pause.signal, stopping.signal]);
      try {
        const head = await headPosition(database);
        release(({ position }) => position < head);
      } catch {
        release(() => true);
      }
      if (waiters.size === 0) break;
      await sleep(pollMs, ending);
      pollMs = pause.signal.aborted ? firstPollMs : Math.min(maxPollMs, pollMs * 2);
    }
    looking = undefined;
  }

  return {
    wait(position, waitMs, signal) {
      if (stopping.signal.aborted || signal?.aborted) return Promise.resolve();
      listener ??= listen({
        url: database.url,
        schema: database.schema,
        channel: channelOf(database.schema),
        applicationName: `${database.schema}-listen`,
        onNotification: wake,
      });
      return new Promise((resolve) => {
        const waiter = {
          position,
          done() {
            waiters.delete(waiter);
            clearTimeout(timer);
            signal?.removeEventListener('abort', waiter.done);
            resolve();
          },
        };
        const timer = setTimeout(waiter.done, waitMs);
        signal?.addEventListener('abort', waiter.done, { once: true });
        waiters.add(waiter);
        // A newcomer must not sleep through what came before it: the loop looks again, whatever its pause.
        wake();
        looking ??= look();
      });
    },
    wake,
    async stop() {
      stopping.abort();
      release(() => true);
      await Promise.all([listener?.stop(), looking]);
    },
  };
}
