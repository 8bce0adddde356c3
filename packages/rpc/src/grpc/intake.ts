/**
 * Says when the next message of a stream is read. While it is not, HTTP/2's flow control holds the caller back, and what it has sent stays
 * with it: so a stream holds a bounded number of messages and bytes, however much its caller has.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Patience } from '../server/patience.ts';
import type { Place } from '../server/places.ts';
import { tooSlow } from '../server/request-size.ts';

export interface IntakeLimits {
  /** Messages that are read and not answered. */
  messages: number;
  /** Their bytes: from that many on, no further one is read. */
  bytes: number;
  /** The most time without a message, in milliseconds. */
  idleMs: number;
  /** The most time of a message from its first byte on; see `watchArrival` of patience.ts. */
  messageMs: number;
}

export interface IntakeOptions {
  limits: IntakeLimits;
  patience: Patience;
  /** Where the bytes are counted. */
  place: Pick<Place, 'take' | 'give'>;
  /** Whether the stream may go on: asked before each message but the first, and every second while none comes. Rejects if not. */
  stillAllowed(): Promise<void>;
  /** Waits until a further message may be read. Rejects if it must not. */
  nextAllowed(): Promise<void>;
  /** No further message is read: the error of the stream. */
  end(error: unknown): void;
}

export interface Intake {
  /** The next message is wanted: calls `read` once it may be read. */
  want(read: () => void): void;
  /** Counts bytes before they are kept. Throws the error of the stream if there is no room. */
  arrive(bytes: number): void;
  /** A message is there. */
  received(): void;
  /** Takes the oldest message that is there: no further one is read before. The returned function says, once, that it is answered. */
  taken(): () => void;
  /** Watches no more: the caller has sent its last message. */
  finish(): void;
  /** Reads no more. */
  close(): void;
}

const lookEveryMs = 1_000;

export function openIntake(options: IntakeOptions): Intake {
  const { limits, patience, place, stillAllowed, nextAllowed, end } = options;
  /** The bytes of each message that is there and not taken. */
  const there: number[] = [];
  let unanswered = 0;
  let held = 0;
  /** Bytes since the last message. */
  let fresh = 0;
  let wanted: (() => void) | undefined;
  let asking = false;
  let isFirst = true;
  let arriving = false;
  let closed = false;
  let unwatch = () => {};

  async function next(): Promise<void> {
    if (!wanted || asking || closed || there.length > 0) return;
    if (unanswered >= limits.messages || held >= limits.bytes) return;
    asking = true;
    try {
      if (!isFirst) await nextAllowed();
      isFirst = false;
    } catch (error) {
      if (!closed) end(error);
      return;
    } finally {
      asking = false;
    }
    const read = wanted;
    if (closed || !read) return;
    wanted = undefined;
    watchSilence(performance.now());
    read();
  }

  function watchSilence(since: number): void {
    unwatch();
    let over = false;
    const stop = patience.watch(lookEveryMs, async () => {
      if (performance.now() - since >= limits.idleMs) {
        end(streamEnded(`No message has come for ${limits.idleMs / 1_000} s.`));
        return;
      }
      try {
        await stillAllowed();
        if (!over && !closed) watchSilence(since);
      } catch (error) {
        if (!closed) end(error);
      }
    });
    unwatch = () => {
      over = true;
      stop();
    };
  }

  function watchArrival(): void {
    unwatch();
    unwatch = patience.watchArrival(
      limits.messageMs,
      () => fresh,
      () => end(tooSlow()),
    );
  }

  return {
    want(read) {
      wanted = read;
      void next();
    },
    arrive(bytes) {
      // What still comes is dropped.
      if (closed) throw streamEnded('The stream is read no more.');
      place.take(bytes);
      fresh += bytes;
      if (arriving) return;
      arriving = true;
      watchArrival();
    },
    received() {
      unwatch();
      arriving = false;
      there.push(fresh);
      held += fresh;
      fresh = 0;
      unanswered++;
    },
    taken() {
      const bytes = there.shift() ?? 0;
      void next();
      let answered = false;
      return () => {
        if (answered) return;
        answered = true;
        unanswered--;
        held -= bytes;
        place.give(bytes);
        void next();
      };
    },
    finish: () => unwatch(),
    close() {
      closed = true;
      wanted = undefined;
      unwatch();
    },
  };
}

/** The error of a stream that ends although nothing is wrong with it. */
export const streamEnded = (why: string): CaudalError =>
  new CaudalError('UNAVAILABLE', 'STREAM_ENDED', `${why} Open another stream, and send again what has no answer.`, {
    retryAfterMs: 100,
  });
