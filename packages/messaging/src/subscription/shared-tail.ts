/**
 * One tail of a log for all its readers in a process. A dozen handlers that follow a log would each read and decode the
 * same rows; instead, whoever is at the end waits for the same read, and its events stay a while for those a little
 * behind. Who is further behind reads the log for itself, from its own position, until it has caught up.
 */
import type { LogReader } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';
import { tailWindow } from './tail-window.ts';

/** How long a shared read waits for something to happen. */
const sharedWaitMs = 10_000;
const pageSize = 1_000;

export interface SharedTailOptions {
  /** Memory for the events that were read last; 4 MiB if absent, which is some 4,000 events. */
  windowBytes?: number;
  /** How long they are kept, in milliseconds; 5,000 if absent. */
  windowMs?: number;
}

/**
 * A reader of the same log, whose `readLog` is shared. The events are shared too: they must not be changed. A read that
 * nobody waits for any more ends within ten seconds.
 */
export function shareTail(
  log: LogReader,
  { windowBytes = 4 * 2 ** 20, windowMs = 5_000 }: SharedTailOptions = {},
): LogReader {
  const window = tailWindow({ maxBytes: windowBytes, keepMs: windowMs });
  let head = 0;
  let reading: Promise<void> | undefined;

  const readOn = async (): Promise<void> => {
    const read = await log.readLog(window.end, { limit: pageSize, waitMs: sharedWaitMs });
    head = read.head;
    window.add(read.events);
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
      // Nobody is ahead of this reader: the window begins with it.
      if (afterPosition > window.end && !reading) window.restart(afterPosition);
      const atEnd = afterPosition === window.end;
      if (!window.covers(afterPosition) || (atEnd && waitMs === 0)) return log.readLog(afterPosition, options);
      if (atEnd) await within(waitMs, shared(), signal);
      // While it waited, more than a window may have passed.
      if (!window.covers(afterPosition)) return log.readLog(afterPosition, options);
      return { events: window.after(afterPosition, limit), head: Math.max(head, window.end) };
    },
  };
}
