/**
 * One tail of a log for all its readers in a process. A dozen handlers that follow a log would each read and decode the
 * same rows; instead, whoever is at the end waits for the same read, and its events stay a while for those a little
 * behind. Who is further behind reads the log for itself, from its own position, until it has caught up.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';

/** How long a shared read waits for something to happen. */
const sharedWaitMs = 1_000;
const pageSize = 1_000;

/**
 * A reader of the same log, whose `readLog` is shared. Keeps at least the last `windowSize` (5,000 if absent) events, at most twice as many. The events
 * are shared too: they must not be changed. A read that nobody waits for any more ends within a second.
 */
export function shareTail(log: LogReader, { windowSize = 5_000 } = {}): LogReader {
  /** Consecutive events, the last of which is at `end`. */
  let window: RecordedEvent[] = [];
  let end = 0;
  let head = 0;
  let reading: Promise<void> | undefined;

  const readOn = async (): Promise<void> => {
    const read = await log.readLog(end, { limit: pageSize, waitMs: sharedWaitMs });
    head = read.head;
    end = read.events.at(-1)?.position ?? end;
    window.push(...read.events);
    // Not at every read: trimming copies.
    if (window.length > 2 * windowSize) window = window.slice(-windowSize);
  };
  const shared = (): Promise<void> => {
    reading ??= readOn().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  return {
    domain: log.domain,
    readStreams: (cursors, options) => log.readStreams(cursors, options),
    heads: (afterPosition, options) => log.heads(afterPosition, options),
    async readLog(afterPosition, options = {}) {
      const { limit = pageSize, waitMs = 0, signal } = options;
      if (afterPosition > end && !reading) {
        // Nobody is ahead of this reader: the window begins with it.
        window = [];
        end = afterPosition;
      }
      const kept = afterPosition >= end - window.length && afterPosition <= end;
      if (!kept || (afterPosition === end && waitMs === 0)) return log.readLog(afterPosition, options);
      if (afterPosition === end) await within(waitMs, shared(), signal);
      const from = afterPosition - (end - window.length);
      // While it waited, more than a window may have passed.
      if (from < 0) return log.readLog(afterPosition, options);
      return { events: window.slice(from, from + limit), head: Math.max(head, end) };
    },
  };
}
