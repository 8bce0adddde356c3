/**
 * Waits for a log to grow. Growth is told with its position: by this process's own appends, and by notifications of the others,
 * which all readers receive on one connection. So whoever waits is woken without a query. What is told can be lost, and a standby
 * is told nothing. So the log's head is also polled, first after 20 ms, then less and less often: see README, Good to know.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { listen } from '@caudal/postgres/listen.ts';
import { channelOf, positionIn } from './notify.ts';
import { selectEnd } from './read.ts';

export interface WaitOptions {
  waitMs: number;
  signal?: AbortSignal | undefined;
  /**
   * What `told` has returned before the read that found nothing behind the position: growth that was told since then ends the wait
   * at once. If absent, the head is read first.
   */
  told?: number | undefined;
}

export interface Watch extends Running {
  /** Counts how often growth was told. */
  told(): number;
  /**
   * Resolves when the log has grown past `position`, when `waitMs` are over, when `signal` fires, or when the head
   * can't be read. In the last case the caller's own read gets the error.
   */
  wait(position: number, options: WaitOptions): Promise<void>;
  /** The log has grown up to this position; absent if that is not known. */
  wake(position?: number): void;
  /** The log has gone on in another epoch, which may be shorter: ends all waits. */
  restart(): void;
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
  /** How often growth was told, and the furthest position of it. */
  let tellings = 0;
  let toldTo = 0;
  /** The log's end at the last read, and the epoch of that read. */
  let known: { head: number; epoch: number } | undefined;
  /** The head is to be read now: growth was told without a position, or a reader does not know whether there was any. */
  let mustLook = false;
  /**
   * Whether notifications arrive: `listens` if the connection listens, which does not prove it; `proved` if there was one. Until
   * growth is found that none has told.
   */
  let announced: 'no' | 'listens' | 'proved' = 'no';

  const release = (isDone: (waiter: Waiter) => boolean) => {
    for (const waiter of waiters) if (isDone(waiter)) waiter.done();
  };
  const lookNow = () => {
    mustLook = true;
    // With a reason, since abort() without one creates an exception each time.
    pause.abort('woken');
  };

  function wake(position?: number): void {
    tellings++;
    if (position === undefined) lookNow();
    else {
      toldTo = Math.max(toldTo, position);
      release((waiter) => waiter.position < position);
    }
  }

  function onNotification(payload: string | undefined): void {
    if (payload !== undefined) announced = 'proved';
    else if (announced === 'no') announced = 'listens';
    const position = positionIn(payload);
    // This process's own, or one that was found before it was told.
    if (position === undefined || position > toldTo) wake(position);
  }

  /**
   * Learns from a read of the log's end. `wasTold`: growth may have been told without a position. `alone`: nothing was told during
   * the read.
   */
  function note(
    end: { head: number; epoch: number; standby: boolean },
    { wasTold, alone }: { wasTold: boolean; alone: boolean },
  ): void {
    const before = known;
    if (before && (end.epoch !== before.epoch || (end.head < before.head && !end.standby))) restart();
    const untold = before !== undefined && end.head > before.head && end.head > toldTo && !wasTold;
    if (untold) announced = 'no';
    if (untold || wasTold) pollMs = firstPollMs;
    known = end;
    // Told in an epoch that has ended, or before it was known.
    if (alone && !end.standby) toldTo = end.head;
    else if (wasTold) toldTo = Math.max(toldTo, end.head);
    release(({ position }) => position < end.head);
  }

  /** The log has gone on in another epoch: the positions of the waiters are of the former one. */
  function restart(): void {
    toldTo = 0;
    known = undefined;
    release(() => true);
  }

  /** Reads the head now and then while there are waiting readers. */
  async function look(): Promise<void> {
    while (waiters.size > 0 && !stopping.signal.aborted) {
      pause = new AbortController();
      if (!mustLook) {
        await sleep(
          announced === 'proved' ? announcedPollMs : pollMs,
          AbortSignal.any([pause.signal, stopping.signal]),
        );
        pollMs = Math.min(announced === 'no' ? unannouncedPollMs : announcedPollMs, pollMs * 2);
      }
      if (waiters.size === 0 || stopping.signal.aborted) break;
      const wasTold = mustLook;
      // Before the head is read, so that what is told during the read is not lost.
      mustLook = false;
      const toldBefore = tellings;
      try {
        const end = await selectEnd(database);
        note(end, { wasTold, alone: tellings === toldBefore });
      } catch {
        // Readers come again at once: so not without a pause.
        await sleep(pollMs, stopping.signal);
        release(() => true);
      }
    }
    looking = undefined;
  }

  return {
    told: () => tellings,
    wait(position, { waitMs, signal, told }) {
      if (stopping.signal.aborted || signal?.aborted) return Promise.resolve();
      listener ??= listen({
        url: database.url,
        channel: channelOf(database.schema),
        onNotification,
      });
      if (told !== undefined && told !== tellings && toldTo > position) return Promise.resolve();
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
        if (told === undefined) lookNow();
        looking ??= look();
      });
    },
    wake,
    restart,
    async stop() {
      stopping.abort();
      release(() => true);
      await Promise.all([listener?.stop(), looking]);
    },
  };
}
