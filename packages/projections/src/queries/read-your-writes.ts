/**
 * Read your own writes: a query with a consistency token waits until the views have seen the token's writes. A write's
 * event determines the view to check; in a multi-stream projection it does not, so there the feed must pass the event.
 */
import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { sleep, within } from '@caudal/kernel/time.ts';
import { entitiesOf, followEvent } from '../events.ts';
import { type AnyProjection, isMultiStream } from '../multi-stream/types.ts';
import { generationName } from '../projector.ts';
import type { Collection } from '../stores/store.ts';
import type { Projection } from '../types.ts';
import type { OpenedViews } from './views.ts';

export interface AwaitSeenOptions<V> {
  projection: AnyProjection<V>;
  views: OpenedViews<V>;
  /** For multi-stream projections: whether the handler of this name has handled the event. */
  passed?(handlerName: string, event: RecordedEvent): Promise<boolean>;
  /** By domain; those of the projection's entities. */
  logs: ReadonlyMap<string, LogReader>;
  /** The writes to wait for; streams that the projection does not follow are left out. */
  consistency: { stream: string; version: number }[];
  /** 2,000 ms if absent. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

const firstPauseMs = 5;
const maxPauseMs = 50;

/**
 * Resolves once queries see all of `consistency`. Errors: UNAVAILABLE NOT_YET_VISIBLE if that takes too long, also
 * because store or log does not answer; UNAVAILABLE if they can't be reached; CANCELLED if `signal` fires.
 */
export async function awaitSeen<V>(options: AwaitSeenOptions<V>): Promise<void> {
  const { projection, views, consistency, timeoutMs = 2_000, signal } = options;
  const entities = new Set(entitiesOf(projection));
  const followed = consistency.filter(({ stream, version }) => version > 0 && entities.has(entityOfStream(stream)));
  if (followed.length === 0) return;
  const deadline = performance.now() + timeoutMs;
  let waiting: Awaited[] = followed.map((write) => ({ ...write, event: undefined, view: undefined }));
  const gone = () => new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller went away.');

  /** The result of the call, if there is one in time. The result of a late call is dropped. */
  async function inTime<T>(call: Promise<T>): Promise<T> {
    if (await within(Math.max(0, deadline - performance.now()), call, signal)) return call;
    throw signal?.aborted ? gone() : notYetVisible(waiting);
  }

  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, maxPauseMs)) {
    waiting = await inTime(locate(options, waiting));
    const { number, collection } = await inTime(views.generations.current());
    const open = isMultiStream(projection)
      ? await inTime(notPassed(options, generationName(projection, number), waiting))
      : await inTime(unseen(collection, waiting));
    // `find` and `search` may lag behind what a read by id sees.
    if (open.length === 0) return inTime(collection.refresh());
    waiting = open;
    if (performance.now() + pauseMs > deadline) throw notYetVisible(waiting);
    await sleep(pauseMs, signal);
    if (signal?.aborted) throw gone();
  }
}

interface Awaited {
  stream: string;
  version: number;
  /** Undefined: not known yet. */
  event: RecordedEvent | undefined;
  /** The event's view; undefined: not known yet, or a multi-stream projection. */
  view: string | undefined;
}

/** Finds the views that are not known yet, and leaves out events that have none. */
async function locate<V>({ projection, logs }: AwaitSeenOptions<V>, waiting: Awaited[]): Promise<Awaited[]> {
  const located = await Promise.all(
    waiting.map(async (write) => {
      if (write.event) return [write];
      const domain = domainOf(write.stream);
      const log = logs.get(domain);
      if (!log) throw new Error(`${projection.name} follows ${domain}, and no log of it is given`);
      const [event] = await log.readStreams([{ stream: write.stream, afterVersion: write.version - 1 }], { limit: 1 });
      // A replica may not have it yet. A token that was made up waits until the time is over.
      if (!event) return [write];
      return isMultiStream(projection) ? [{ ...write, event }] : viewOfWrite(projection, event, write);
    }),
  );
  return located.flat();
}

function viewOfWrite<V>(projection: Projection<V>, event: RecordedEvent, write: Awaited): Awaited[] {
  try {
    const view = followEvent(projection, event)?.view;
    return view === undefined ? [] : [{ ...write, event, view }];
  } catch {
    // The projector can't handle it either: its stream is parked, so the write is not visible before a redrive.
    return [write];
  }
}

async function unseen(collection: Collection, waiting: Awaited[]): Promise<Awaited[]> {
  const ids = [...new Set(waiting.flatMap(({ view }) => view ?? []))];
  const stored = new Map(ids.length > 0 ? (await collection.load(ids)).map(({ id, streams }) => [id, streams]) : []);
  return waiting.filter(
    ({ stream, version, view }) => view === undefined || (stored.get(view)?.[stream] ?? 0) < version,
  );
}

async function notPassed<V>(
  { projection, passed }: AwaitSeenOptions<V>,
  handlerName: string,
  waiting: Awaited[],
): Promise<Awaited[]> {
  if (!passed) throw new Error(`${projection.name} is a multi-stream projection: give awaitSeen its option "passed"`);
  const seen = await Promise.all(waiting.map(({ event }) => event !== undefined && passed(handlerName, event)));
  return waiting.filter((_, index) => !seen[index]);
}

function notYetVisible(waiting: Awaited[]): CaudalError {
  const { stream, version } = waiting[0]!;
  return new CaudalError(
    'UNAVAILABLE',
    'NOT_YET_VISIBLE',
    'This view has not seen your write yet: try again with the same token.',
    {
      retryAfterMs: 500,
      metadata: { stream, version: String(version) },
    },
  );
}
