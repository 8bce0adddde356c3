/**
 * Waits for a log to grow, for any number of readers at the price of one: they share a connection that listens, and
 * one look at the log's head after each notification. Notifications can be lost (and a standby has none), so the head is
 * also looked at by itself, at first soon, then more and more rarely: every two seconds in the end while notifications come,
 * and four times a second once growth was found that none has announced.
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
/** Between two looks in the end: while growth is announced, and while it is not. */
const announcedPollMs = 2_000;
const unannouncedPollMs = 250;

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
  let pollMs = firstPollMs;
  /** The log's head as it was seen last, and whether something has spoken of growth since. */
  let known: number | undefined;
  let told = false;
  /** Whether notifications come: listening has begun, and the latest growth did not go unannounced. */
  let announced = false;

  const release = (isDone: (waiter: Waiter) => boolean) => {
    for (const waiter of waiters) if (isDone(waiter)) waiter.done();
  };
  // With a reason: without one, each makes an exception.
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

  /** Looks at the head as long as somebody waits. */
  async function look(): Promise<void> {
    while (waiters.size > 0 && !stopping.signal.aborted) {
      // Made before the look, so that a wake-up during it is not lost.
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
        schema: database.schema,
        channel: channelOf(database.schema),
        applicationName: `${database.schema}-listen`,
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
        // A newcomer must not sleep through what came before it: the loop looks again, whatever its pause.
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
