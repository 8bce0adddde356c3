/** What has arrived from the queues of a feed and waits to be handled, in the order of arrival. */
import { within } from '@caudal/kernel/time.ts';
import type { Channel, ConsumeMessage } from 'amqplib';

/** A subscription to a queue, on a channel of its own. */
export interface Session {
  readonly channel: Channel;
  /** Whether messages still arrive, and can be acknowledged. */
  readonly isOpen: () => boolean;
  /** `failed`: it is opened again after a pause. `left`: what is in flight is finished first. */
  end(how: 'failed' | 'left'): void;
}

export interface Delivery {
  message: ConsumeMessage;
  session: Session;
}

export interface Inbox {
  add(delivery: Delivery): void;
  /** The next batch: as many of those that wait as `count` says, from the first on. Empty if the signal fires first. */
  take(count: (waiting: readonly Delivery[]) => number, signal: AbortSignal): Promise<Delivery[]>;
  /** Puts a batch before all that waits: it is taken again. */
  giveBack(batch: Delivery[]): void;
  /**
   * Forgets what waits of a session, which returns to its queue, and waits for its part of the batch in flight, for 5 s:
   * one that takes longer waits for a dependency, and is delivered again elsewhere.
   */
  leave(session: Session): Promise<void>;
  /** Notes that a batch is in flight until the work has ended. The work must not throw. */
  during(batch: Delivery[], work: Promise<void>): Promise<void>;
}

const leaveMs = 5_000;

export function openInbox(): Inbox {
  let waiting: Delivery[] = [];
  let inFlight: { batch: Delivery[]; work: Promise<void> } | undefined;
  let wake = () => {};
  const left = new WeakSet<Session>();

  return {
    add(delivery) {
      if (left.has(delivery.session)) return;
      waiting.push(delivery);
      wake();
    },
    async take(count, signal) {
      while (waiting.length === 0 && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        signal.addEventListener('abort', wake, { once: true });
        await promise;
        signal.removeEventListener('abort', wake);
      }
      return signal.aborted ? [] : waiting.splice(0, count(waiting));
    },
    giveBack(batch) {
      // What was left meanwhile has returned to its queue.
      waiting.unshift(...batch.filter(({ session }) => !left.has(session)));
    },
    async leave(session) {
      left.add(session);
      waiting = waiting.filter((delivery) => delivery.session !== session);
      if (inFlight?.batch.some((delivery) => delivery.session === session)) await within(leaveMs, inFlight.work);
    },
    async during(batch, work) {
      inFlight = { batch, work };
      await work;
      inFlight = undefined;
    },
  };
}
