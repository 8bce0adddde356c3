/**
 * Reads of many streams in one query: what is asked while a read is on its way goes into the next one, so batching
 * grows with load and a lone read waits for nothing.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';

/** What one query takes and brings at most. */
const maxCursors = 256;
const maxEvents = 5_000;

export interface StreamPage {
  events: RecordedEvent[];
  /** There may be more after these. */
  more: boolean;
}

interface Request {
  stream: string;
  afterVersion: number;
  resolve(page: StreamPage): void;
  reject(error: unknown): void;
}

export interface StreamReader {
  /**
   * The stream's events after a version, by a query that starts after the call. One call a stream at a time. Errors:
   * those of the log.
   */
  read(stream: string, afterVersion: number): Promise<StreamPage>;
}

export function openStreamReader(log: Pick<LogReader, 'readStreams'>, limit = maxEvents): StreamReader {
  let gathered: Request[] = [];
  let running = false;

  async function run(): Promise<void> {
    while (gathered.length > 0) {
      const batch = gathered.slice(0, maxCursors);
      gathered = gathered.slice(maxCursors);
      try {
        const cursors = batch.map(({ stream, afterVersion }) => ({ stream, afterVersion }));
        const events = await log.readStreams(cursors, { limit });
        gathered.push(...distribute(batch, events, limit));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running = false;
  }

  return {
    read: (stream, afterVersion) =>
      new Promise((resolve, reject) => {
        gathered.push({ stream, afterVersion, resolve, reject });
        if (running) return;
        running = true;
        // Others who ask in this very turn come along.
        queueMicrotask(run);
      }),
  };
}

/** Gives each request its events; returns those that the limit left without an answer. */
function distribute(batch: Request[], events: RecordedEvent[], limit: number): Request[] {
  const byStream = new Map<string, RecordedEvent[]>();
  for (const event of events) {
    const known = byStream.get(event.stream);
    if (known) known.push(event);
    else byStream.set(event.stream, [event]);
  }
  const full = events.length >= limit;
  const last = events.at(-1)?.stream;
  const unanswered: Request[] = [];
  for (const request of batch) {
    const own = byStream.get(request.stream);
    // The events come stream by stream: at the limit the last stream may have more, and one that is not there at all
    // may have none or not have had its turn.
    if (full && !own) unanswered.push(request);
    else request.resolve({ events: own ?? [], more: full && request.stream === last });
  }
  return unanswered;
}
