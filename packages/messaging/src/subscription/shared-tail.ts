/**
 * One tail of a log for all its readers in a process: readers at the end wait for the same read, and its events are kept
 * for some seconds for readers a little behind. See README, Reading the log directly.
 */
import type { LogReader } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';
import { tailWindow } from './tail-window.ts';

/** How long a shared read waits for new events. */
const sharedWaitMs = 10_000;
const pageSize = 1_000;

export interface SharedTailOptions {
  /** Memory for the events that were read last; 4 MiB if absent, which is some 4,000 events. */
  windowBytes?: number;
  /** How long they are kept, in milliseconds; 5,000 if absent. */
  windowMs?: number;
}

/**
 * A reader of the same log, whose `readLog` is shared. The events are shared too: they must not be changed. When the
 * last reader stops waiting, the shared read ends within ten seconds.
 */
export function shareTail(
  log: LogReader,
  { windowBytes = 4 * 2 ** 20, windowMs = 5_000 }: SharedTailOptions = {},
): LogReader {
  const window = tailWindow({ maxBytes: windowBytes, keepMs: windowMs });
  let head = 0;
  let reading: Promise<void> | undefined;

  /** Counts the log's epochs: another one does not go on from the window's end. */
  let epoch = 0;
  log.onEpoch?.(() => {
    epoch++;
    head = 0;
    window.restart(0);
  });

  const readOn = async (): Promise<void> => {
    const began = epoch;
    const read = await log.readLog(window.end, { limit: pageSize, waitMs: sharedWaitMs });
    if (epoch !== began) return;
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
    ...(log.epochs && { epochs: () => log.epochs!() }),
    ...(log.onEpoch && { onEpoch: (listener) => log.onEpoch!(listener) }),
    async readLog(afterPosition, options = {}) {
      const { limit = pageSize, waitMs = 0, signal } = options;
      // No reader that waits is ahead of this one: the window begins with it.
      if (waitMs > 0 && afterPosition > window.end && !reading) window.restart(afterPosition);
      const atEnd = afterPosition === window.end;
      if (!window.covers(afterPosition) || (atEnd && waitMs === 0)) return log.readLog(afterPosition, options);
      if (atEnd) await within(waitMs, shared(), signal);
      // During the wait the window may have moved past this reader.
      if (!window.covers(afterPosition)) return log.readLog(afterPosition, options);
      return { events: window.after(afterPosition, limit), head: Math.max(head, window.end) };
    },
  };
}
