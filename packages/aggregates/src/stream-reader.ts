/**
 * Reads many streams in one query. Requests that arrive while a query is in flight share the next one. So batches grow
 * with the load, and a single request waits for nothing. Streams with events in the archive are read one by one beside
 * that, so that no other stream waits for the archive, or fails with it.
 */
import { ReachesArchive } from '@caudal/eventlog/archive/reaches-archive.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';

/** The most streams that one query reads, and the most events that it returns. */
const maxCursors = 256;
const maxEvents = 5_000;
/** The most streams that are read from the archive at a time, and the most that wait for it; more are refused. */
const maxApart = 8;
const maxWaitingApart = 256;

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
   * The stream's events after a version, by a query that starts after the call. At most one call per stream may be in
   * flight. Errors: those of the log.
   */
  read(stream: string, afterVersion: number): Promise<StreamPage>;
}

export function openStreamReader(log: Pick<LogReader, 'readStreams'>, limit = maxEvents): StreamReader {
  let gathered: Request[] = [];
  let running = false;
  const apart: Request[] = [];
  let runningApart = 0;

  /** Reads streams from the archive, until none waits. */
  async function runApart(): Promise<void> {
    runningApart += 1;
    for (let request = apart.shift(); request; request = apart.shift()) {
      const { stream, afterVersion, resolve, reject } = request;
      try {
        const events = await log.readStreams([{ stream, afterVersion }], { limit });
        resolve({ events, more: events.length >= limit });
      } catch (error) {
        reject(error);
      }
    }
    runningApart -= 1;
  }

  function readApart(request: Request): void {
    if (apart.length >= maxWaitingApart) {
      const message = 'Too many reads wait for the archive of old months.';
      request.reject(new CaudalError('UNAVAILABLE', 'ARCHIVE_UNAVAILABLE', message, { retryAfterMs: 1_000 }));
      return;
    }
    apart.push(request);
    if (runningApart < maxApart) void runApart();
  }

  /** Reads a batch. Streams that reach into the archive go apart, and the others are read at once, by a second query. */
  async function readBatch(batch: Request[]): Promise<void> {
    const cursors = batch.map(({ stream, afterVersion }) => ({ stream, afterVersion }));
    try {
      const events = await log.readStreams(cursors, { limit, livingOnly: true });
      gathered.push(...distribute(batch, events, limit));
    } catch (error) {
      const reaches = (request: Request) => error instanceof ReachesArchive && error.streams.has(request.stream);
      const [old, others] = [batch.filter(reaches), batch.filter((request) => !reaches(request))];
      for (const request of old) readApart(request);
      if (old.length > 0 && others.length > 0) await readBatch(others);
      else if (old.length === 0 && error instanceof ReachesArchive) for (const request of batch) readApart(request);
      else for (const { reject } of others) reject(error);
    }
  }

  async function run(): Promise<void> {
    while (gathered.length > 0) {
      const batch = gathered.slice(0, maxCursors);
      gathered = gathered.slice(maxCursors);
      await readBatch(batch);
    }
    running = false;
  }

  return {
    read: (stream, afterVersion) =>
      new Promise((resolve, reject) => {
        gathered.push({ stream, afterVersion, resolve, reject });
        if (running) return;
        running = true;
        // Requests that are made in the same turn of the event loop share the query.
        queueMicrotask(run);
      }),
  };
}

/** Gives each request its events; returns the requests that the limit left without an answer. */
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
    // Events are returned stream by stream. At the limit the last stream may have more, and a stream without events may
    // have none or may not have been reached.
    if (full && !own) unanswered.push(request);
    else request.resolve({ events: own ?? [], more: full && request.stream === last });
  }
  return unanswered;
}
