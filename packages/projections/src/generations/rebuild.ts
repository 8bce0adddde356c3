/**
 * Builds a generation of a projection from the logs and lets queries read it: the first one, or one that replaces
 * another ("blue/green"), while commands and queries continue.
 *
 *    1. lease    The record names the process that builds. Another one is refused; what a crashed one left is dropped.
 *                Whatever has the new generation's name is removed (if the record was lost, numbers begin again).
 *    2. bind     `bind(handler)`: the caller creates and binds the generation's queue. From here on the queue gets
 *                every new event. (Without a broker there is nothing to do.)
 *    3. fill     The logs are read from the beginning to the heads that they have now, after the binding, and folded by
 *                the same projector that consumers use.
 *    4. feed     `filled(handler, positions)`: the caller stores where consumers may begin (the checkpoints of a log
 *                feed, and of reconciliation). Then the record marks the generation as fed, and the projectors that
 *                follow the record (follow-generations.ts) start consumers, within two seconds.
 *    5. verify   A sample of views is folded again from the logs and compared (of a multi-stream projection: all views,
 *                if the logs are short). A wrong view, or an event that can't be handled, ends the rebuild, and queries
 *                keep the old generation.
 *    6. switch   The record announces when queries begin to read the new generation: 4 s ahead, so that every process
 *                has read it. Until then the rest of the logs is folded in too, so that the new generation has
 *                everything that the old one has, however slow its consumers are. An announced switch can't be taken
 *                back: if the store fails in these 4 s, the consumers bring the rest afterwards.
 *    7. later    The old generation is fed and readable 10 minutes longer (page tokens name their generation). Then a
 *                process that follows the record drops it; `release(handler)` deletes its queue.
 *
 * After a crash before step 6 queries keep the current generation; after it they switch, since the switch is in the
 * record. Only views are written, so no side effect can happen.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Clock, sleep, systemClock, within } from '@caudal/kernel/time.ts';
import type { Parking } from '@caudal/messaging/subscription/parking.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { followEvent } from '../events.ts';
import { type AnyProjection, isMultiStream, type MultiStreamProjection } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import { type Logs, logsOf } from '../read-logs.ts';
import { nameOf } from '../stores/keys.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import type { Projection } from '../types.ts';
import { checkGathered } from '../verify/check-gathered.ts';
import { checksAtATime, checkView, type Finding } from '../verify/check-view.ts';
import { type Builder, beginBuilding } from './builder.ts';
import { cancelled, type Filling, failedEvents, patiently, startFilling } from './fill.ts';
import { dropExpired } from './follow-generations.ts';
import { createGeneration, createHandler, removeGeneration } from './generation.ts';
import { announceMs, currentOf, type Generation, isBuilt, readGenerations } from './generations.ts';

export interface RebuildOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** By domain, from the primaries; those of the projection's entities. */
  logs: Logs;
  /** Creates what new events wait in for a consumer of this handler: its queue. */
  bind(handler: Pick<AnyHandler, 'name' | 'entities' | 'inOrder'>): Promise<void>;
  /** Stores that the handler has seen each domain's log up to these positions. */
  filled(handlerName: string, positions: ReadonlyMap<string, number>): Promise<void>;
  /** For multi-stream projections: parks the streams that can't be handled. */
  parking?(handlerName: string): Parking;
  /** Undoes `bind` and `parking` when a generation is dropped. May be called again, also if it was never bound. */
  release(handlerName: string): Promise<void>;
  onProgress?(progress: RebuildProgress): void;
  /** Switch even if some events can't be handled; they become dead letters of the new generation too. */
  acceptFailed?: boolean;
  /** How long the old generation is kept after the switch; 600,000 ms if absent. */
  keepMs?: number;
  signal?: AbortSignal;
  clock?: Clock;
}

export interface RebuildProgress {
  step: 'fill' | 'verify' | 'switch';
  /** While filling: which log, how far it is read, and its end. */
  domain?: string;
  position?: number;
  head?: number;
}

export interface RebuildReport {
  generation: number;
  /** The generation that queries read before; undefined if none. */
  replaced: number | undefined;
  /** Events that were read to build it. */
  events: number;
  /** How many views it has, and how many the one before. Undefined if they could not be counted. */
  views: { now: number; before: number | undefined } | undefined;
  /** Views that were compared with the log. */
  verified: number;
  /** The first 1,000 events that could not be handled. */
  failed: { stream: string; version: number; error: unknown }[];
  /** How many events could not be handled. */
  failedCount: number;
}

/** How many streams are compared with the log before a switch: all of a small projection, a sample of a large one. */
const sampleSize = 500;
/** After this many events were read for the sample, no further view is compared. */
const sampleEvents = 50_000;
/** Between two reads of the logs before the switch. */
const pollMs = 50;
/** If a round of filling takes less, the generation is level with the logs. */
const levelMs = 300;
const maxRounds = 100;
const log = logger('rebuild');

/**
 * Builds a generation and switches to it. Errors: ABORTED REBUILD_RUNNING if another process builds one;
 * FAILED_PRECONDITION REBUILD_FAILED_EVENTS, REBUILD_DIFFERS, REBUILD_INCOMPLETE_LOG or REBUILD_TOO_SLOW if it would be
 * wrong, REBUILD_LOST if another process has taken over; UNAVAILABLE if store, logs or broker can't be reached for
 * minutes; CANCELLED if `signal` fires. After any of these errors queries read the same generation as before.
 */
export function rebuild<V>(options: RebuildOptions<V>): Promise<RebuildReport> {
  return underLease(options, { onlyFirst: false });
}

/**
 * Builds the first generation if there is none, or waits until the process that builds it is done. For the start of a
 * projector role. Returns whether it was built here. Errors: those of `rebuild` except REBUILD_RUNNING and
 * REBUILD_LOST.
 */
export async function ensureBuilt<V>(options: RebuildOptions<V>): Promise<boolean> {
  const { projection, store, signal } = options;
  for (;;) {
    const record = await readGenerations(projection, store);
    if (record && isBuilt(record)) return false;
    try {
      // Views without some events are better than none: events that can't be handled become dead letters.
      await underLease({ ...options, acceptFailed: true }, { onlyFirst: true });
      return true;
    } catch (error) {
      const elsewhere = ['REBUILD_RUNNING', 'REBUILD_LOST'];
      if (!(error instanceof CaudalError && elsewhere.includes(error.reason))) throw error;
    }
    await sleep(500, signal);
    if (signal?.aborted) throw cancelled();
  }
}

async function underLease<V>(
  options: RebuildOptions<V>,
  { onlyFirst }: { onlyFirst: boolean },
): Promise<RebuildReport> {
  const { projection, store, release, clock = systemClock, signal } = options;
  logsOf(projection, options.logs);
  const builder = await beginBuilding({ projection, store, id: newId(), onlyFirst, clock, signal });
  try {
    await dropExpired({ projection, store, release, record: builder.record, now: clock().getTime() });
    return await build(options, builder);
  } catch (error) {
    await giveUp(options, builder).catch((givingUp: unknown) => {
      log.warn(
        { err: givingUp },
        'the unfinished generation could not be marked for dropping: the next rebuild does it',
      );
    });
    throw error;
  } finally {
    await builder.end();
  }
}

/**
 * Marks the generation for dropping. After a suspension of minutes it may be dropped already, and written again since.
 */
async function giveUp<V>(options: RebuildOptions<V>, builder: Builder): Promise<void> {
  if (!(await builder.abandon())) await removeGeneration({ ...options, generation: builder.number });
}

async function build<V>(options: RebuildOptions<V>, builder: Builder): Promise<RebuildReport> {
  const { projection, store, onProgress, acceptFailed = false, keepMs = 600_000, clock = systemClock } = options;
  const generation = builder.number;
  const { signal } = builder;
  const collection = collectionOf({ projection, store, generation });
  const projector = createHandler({ projection, store, generation });
  const replaced = currentOf(builder.record, clock().getTime())?.number;
  // The first generation accepts failed events: there is no older one to keep.
  const accepting = acceptFailed || replaced === undefined;

  await patiently(() => removeGeneration({ ...options, generation }), signal);
  await patiently(() => createGeneration({ projection, store, generation }), signal);
  await patiently(() => options.bind(projector), signal);
  const parking = options.parking?.(projector.name);
  const filling = startFilling({ ...options, projector, parking, sampleSize, acceptFailed: accepting, signal });
  const judgeFailed = () => {
    const failedCount = filling.failedCount();
    if (!accepting && failedCount > 0) throw failedEvents({ ...filling, failedCount });
  };
  await filling.fill();
  judgeFailed();
  await patiently(() => options.filled(projector.name, filling.safePositions()), signal);
  await patiently(() => builder.update((own) => ({ ...own, fed: true })), signal);

  onProgress?.({ step: 'verify' });
  const sample = filling.sample();
  const verified = await verifySample({ ...options, generation, sample, upTo: filling.safePositions(), signal });

  onProgress?.({ step: 'switch' });
  // If nothing is replaced, no query sees less than before, and the consumers catch up.
  if (replaced !== undefined) await drawLevel(filling);
  judgeFailed();
  await patiently(() => collection.refresh(), signal);
  let from = 0;
  const announced = (own: Generation): Generation => {
    // By the clock of this attempt, so that it is ahead. If an answer was lost, an earlier attempt has announced it.
    from = own.from ?? clock().getTime() + (replaced === undefined ? 0 : announceMs);
    return { ...own, from };
  };
  await patiently(() => builder.update(announced, keepMs), signal);

  await stayLevel({ from, filling, collection, clock, signal });
  const before = replaced === undefined ? undefined : collectionOf({ projection, store, generation: replaced });
  return {
    generation,
    replaced,
    events: filling.events(),
    views: await countViews(collection, before),
    verified,
    failed: filling.failed,
    failedCount: filling.failedCount(),
  };
}

/**
 * Fills until a round takes less than 300 ms: after the announcement, new events must be folded in in time. Each round
 * has only the events that arrived during the one before.
 */
async function drawLevel(filling: Filling): Promise<void> {
  for (let round = 1; round <= maxRounds; round++) {
    const begun = performance.now();
    await filling.fill();
    if (performance.now() - begun < levelMs) return;
  }
  const message = 'Events arrive faster than the store takes them into the new views: rebuild when there is less load.';
  throw new CaudalError('FAILED_PRECONDITION', 'REBUILD_TOO_SLOW', message);
}

/**
 * Folds in new events until queries read the new generation, and makes them visible. Never throws. A batch in flight at
 * the switch may be written after it: readers of a new generation count on that (`isSettled`).
 */
async function stayLevel(context: {
  from: number;
  filling: Filling;
  collection: Collection;
  clock: Clock;
  signal: AbortSignal;
}): Promise<void> {
  const { from, filling, collection, clock, signal } = context;
  const left = () => Math.max(0, from - clock().getTime());
  const switched = new AbortController();
  const round = async () => {
    const before = filling.events();
    await filling.fill(switched.signal);
    // Otherwise Elasticsearch would show them up to a second later.
    if (filling.events() > before) await collection.refresh();
  };
  try {
    while (left() > 0) {
      if (!(await within(left(), round(), signal))) break;
      await sleep(pollMs, signal);
    }
  } catch (error) {
    log.warn({ err: error }, 'new events before the switch are left to the consumers');
  }
  await sleep(left(), signal);
  switched.abort();
}

async function countViews(now: Collection, before: Collection | undefined): Promise<RebuildReport['views']> {
  try {
    await now.refresh();
    return { now: await now.count([]), before: await before?.count([]) };
  } catch (error) {
    log.warn({ err: error }, 'the views are switched, but not counted');
    return undefined;
  }
}

/** Compares some views with the logs; returns how many. A view that is only behind counts as right. */
async function verifySample<V>(
  options: RebuildOptions<V> & {
    generation: number;
    sample: RecordedEvent[];
    upTo: ReadonlyMap<string, number>;
    signal: AbortSignal;
  },
): Promise<number> {
  const { projection, signal } = options;
  if (!isMultiStream(projection)) return verifyStreams({ ...options, projection });
  return patiently(() => verifyGathered({ ...options, projection }), signal);
}

/** Views of some streams. */
async function verifyStreams<V>(options: {
  projection: Projection<V>;
  store: ViewStore;
  generation: number;
  logs: Logs;
  sample: RecordedEvent[];
  signal: AbortSignal;
}): Promise<number> {
  const { projection, logs, sample, signal } = options;
  const collection = collectionOf(options);
  const streams = new Map<string, string[]>();
  for (const event of sample) {
    const id = followEvent(projection, event)?.view;
    if (id !== undefined) streams.set(id, [...(streams.get(id) ?? []), event.stream]);
  }
  let verified = 0;
  let read = 0;
  await forEachConcurrent(streams, checksAtATime, async ([id, ofView]) => {
    if (read >= sampleEvents) return;
    const onRead = (events: number) => {
      read += events;
    };
    const check = () => checkView({ projection, collection, logs, id, streams: ofView, settleMs: 0, onRead });
    refuse(projection, await patiently(check, signal));
    verified += 1;
  });
  return verified;
}

/** Checking a gathered view needs the whole log: so all views are checked if it is short, and none if it is long. */
async function verifyGathered<V>(options: {
  projection: MultiStreamProjection<V>;
  store: ViewStore;
  generation: number;
  logs: Logs;
  upTo: ReadonlyMap<string, number>;
}): Promise<number> {
  const { projection, logs, upTo } = options;
  let events = 0;
  for (const log of logsOf(projection, logs)) events += (await log.readLog(0, { limit: 1 })).head;
  if (events > sampleEvents) return 0;
  const collection = collectionOf(options);
  const { documents, findings } = await checkGathered({ projection, collection, logs, upTo, settleMs: 0 });
  refuse(projection, findings);
  return documents;
}

function refuse(projection: { name: string; version: number }, findings: Finding[]): void {
  const wrong = findings.find(({ kind }) => kind !== 'behind');
  if (!wrong) return;
  throw new CaudalError(
    'FAILED_PRECONDITION',
    'REBUILD_DIFFERS',
    `${nameOf(projection)}: the new view ${wrong.id} is not what the log says (${wrong.kind}: ${wrong.detail}).`,
    { metadata: { view: wrong.id } },
  );
}
