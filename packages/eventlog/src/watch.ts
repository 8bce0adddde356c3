/**
 * Waits for a log to grow. All readers share one connection that listens, and one read of the log's head after each
 * notification. Notifications can be lost, and a standby has none. So the head is also polled, first after 20 ms, then
 * less and less often: see README, Good to know.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { listen } from '@caudal/postgres/listen.ts';
import { channelOf } from './notify.ts';
import { headPosition } from './read.ts';

export interface Watch extends Running {
  /**
   * Resolves when the log has grown past `position`, when `waitMs` are over, when `signal` fires, or when the head
   * can't be read. In the last case the caller's own read gets the error.
   */
  wait(position: number, waitMs: number, signal?: AbortSignal): Promise<void>;
  /** The log has grown: reads the head now. */
  wake(): void;
}

interface Waiter {
  position: number;
  done(): void;
}

const firstPollMs = 20;
/** The longest pause between two reads of the head while growth is not announced. */
const unannouncedPollMs = 250;

/** `announcedPollMs`: the longest pause between two reads of the head while growth is announced; 2,000 if absent. */
export function watch(database: Database, { announcedPollMs = 2_000 }: { announcedPollMs?: number } = {}): Watch {
  const waiters = new Set<Waiter>();
  const stopping = new AbortController();
  let listener: Running | undefined;
  let looking: Promise<void> | undefined;
  let pause = new AbortController();
  let pollMs = firstPollMs;
  /** The log's head at the last read, and whether growth was announced since. */
  let known: number | undefined;
  let told = false;
  /** Whether notifications arrive: there was one, and the latest growth was announced. */
  let announced = false;

  const release = (isDone: (waiter: Waiter) => boolean) => {
    for (const waiter of waiters) if (isDone(waiter)) waiter.done();
  };
  // With a reason, since abort() without one creates an exception each time.
  const lookNow = () => pause.abort('woken');
  const wake = () => {
    told = true;
    lookNow();
  };
  const onNotification = () => {
    announced = true;
    wake();
  };

  function note(head: number, wasTold: boolean): void {
    const grown = known !== undefined && head > known;
    if (grown && !wasTold) announced = false;
    if (grown || wasTold) pollMs = firstPollMs;
    known = head;
  }

  /** Reads the head again and again while there are waiting readers. */
  async function look(): Promise<void> {
    while (waiters.size > 0 && !stopping.signal.aborted) {
      // Made before the head is read, so that a wake-up during the read is not lost.
      pause = new AbortController();
      const ending = AbortSignal.any([pause.signal, stopping.signal]);
      const wasTold = told;
      told = false;
      try {
        const head = await headPosition(database);
        note(head, wasTold);
        release(({ position }) => position < head);
      } catch {
        release(() => true);
      }
      if (waiters.size === 0) break;
      await sleep(pollMs, ending);
      pollMs = Math.min(announced ? announcedPollMs : unannouncedPollMs, pollMs * 2);
    }
    looking = undefined;
  }

  return {
    wait(position, waitMs, signal) {
      if (stopping.signal.aborted || signal?.aborted) return Promise.resolve();
      listener ??= listen({
        url: database.url,
        channel: channelOf(database.schema),
        onNotification,
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
        // The log may have grown before this call: read the head again now, without waiting for the pause to end.
        lookNow();
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
