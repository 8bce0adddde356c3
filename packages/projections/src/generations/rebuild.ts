/**
 * Builds a generation of a projection from the logs and lets queries read it: the first one, or one that replaces
 * another ("blue/green"), while commands and queries continue.
 *
 *    1. lease    The record names the process that builds. Another one is refused; what a crashed one left is gone on
 *                with. Whatever has a new generation's name is removed (if the record was lost, numbers begin again).
 *    2. bind     `bind(handler)`: the caller creates and binds the generation's queue. From here on the queue gets
 *                every new event. (Without a broker there is nothing to do.)
 *    3. fill     The logs are read from the beginning to the heads that they have now, after the binding, and folded by
 *                the same projector that consumers use, several parts of the streams at the same time. The progress is
 *                saved, so that another process can go on: see docs/projections.md, How a rebuild goes on.
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

import { presentOf } from '@caudal/eventlog/epochs.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Clock, sleep, systemClock, within } from '@caudal/kernel/time.ts';
import { learnEpochs } from '@caudal/messaging/subscription/lost.ts';
import type { Parking } from '@caudal/messaging/subscription/parking.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type AnyProjection, isMultiStream } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import { type Logs, logsOf } from '../read-logs.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import { type Builder, beginBuilding } from './builder.ts';
import { codeOf } from './code.ts';
import { failedEvents } from './failures.ts';
import { type FillingOptions, startFilling } from './fill.ts';
import { dropExpired } from './follow-generations.ts';
import { createGeneration, createHandler, progressOf, removeGeneration } from './generation.ts';
import { announceMs, currentOf, type Generation, type Generations, isBuilt, readGenerations } from './generations.ts';
import { drawLevel, stayLevel } from './level.ts';
import { newParts } from './parts.ts';
import { cancelled, patiently } from './patience.ts';
import { openProgress, type ProgressStore, Unusable } from './progress.ts';
import { verifyBuilt } from './verify-built.ts';

export interface RebuildOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** By domain, from the primaries; those of the projection's entities. */
  logs: Logs;
  /** Creates what new events wait in for a consumer of this handler: its queue. */
  bind(handler: Pick<AnyHandler, 'name' | 'entities' | 'parts' | 'inOrder'>): Promise<void>;
  /** Stores that the handler has seen each domain's log up to these positions. */
  filled(handlerName: string, positions: ReadonlyMap<string, number>): Promise<void>;
  /** For multi-stream projections: parks the streams that can't be handled. */
  parking?(handlerName: string): Parking;
  /** Undoes `bind` and `parking` when a generation is dropped. May be called again, also if it was never bound. */
  release(handlerName: string): Promise<void>;
  onProgress?(progress: RebuildProgress): void;
  /** Begin anew, even if an earlier rebuild has left something to go on with. */
  anew?: boolean;
  /** Switch even if some events can't be handled; they become dead letters of the new generation too. */
  acceptFailed?: boolean;
  /**
   * How many parts of the streams are folded in at the same time; 4 if absent. A multi-stream projection always has one:
   * see docs/multi-stream-projections.md.
   */
  parts?: number;
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
/** How many parts of the streams are folded in at the same time. */
const partsAtATime = 4;
/** At the end of an interrupted process there is not much time. */
const lastSaveMs = 2_000;
const lookEveryMs = 500;
const log = logger('rebuild');

/**
 * Builds a generation and switches to it. Errors: ABORTED REBUILD_RUNNING if another process builds one;
 * FAILED_PRECONDITION REBUILD_FAILED_EVENTS, REBUILD_DIFFERS, REBUILD_INCOMPLETE_LOG or REBUILD_TOO_SLOW if it would be
 * wrong, REBUILD_LOST if another process has taken over; UNAVAILABLE if store, logs or broker can't be reached for
 * minutes; CANCELLED if `signal` fires. After any of these errors queries read the same generation as before.
 */
export async function rebuild<V>(options: RebuildOptions<V>): Promise<RebuildReport> {
  for (let before: Generations['builder']; ; ) {
    try {
      return await underLease(options, { onlyFirst: false });
    } catch (error) {
      if (!(error instanceof CaudalError && error.reason === 'REBUILD_RUNNING')) throw error;
      // A builder that was killed renews nothing: its lease ends within seconds, and this one goes on.
      const now = await builderOf(options);
      const renewed = before && now && (now.id !== before.id || now.until !== before.until);
      if (renewed || options.signal?.aborted) throw error;
      before = now;
    }
    await sleep(lookEveryMs, options.signal);
  }
}

async function builderOf<V>({ projection, store }: RebuildOptions<V>): Promise<Generations['builder']> {
  return (await readGenerations(projection, store))?.builder;
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
  const { projection, store, release, anew, clock = systemClock, signal } = options;
  logsOf(projection, options.logs);
  const parts = isMultiStream(projection) ? 1 : (options.parts ?? partsAtATime);
  for (;;) {
    const epochs = await patiently(() => epochsOf(options), signal ?? new AbortController().signal);
    // Nothing is gone on with that is of an epoch before a loss.
    const code = codeOf(projection) + (store.analysis ?? '') + epochs;
    const begin = { projection, store, id: newId(), parts, code, anew, onlyFirst, clock, signal };
    const builder = await beginBuilding(begin);
    try {
      await dropExpired({ projection, store, release, record: builder.record, now: clock().getTime() });
      return await build(options, builder, async () => {
        if ((await epochsOf(options)) !== epochs) throw new Unusable('a log has lost its end meanwhile');
      });
    } catch (cause) {
      const isSame = await epochsOf(options).then(
        (now) => now === epochs,
        () => true,
      );
      const error = isSame ? cause : new Unusable('a log has lost its end meanwhile');
      await leave(options, builder, error).catch((leaving: unknown) => {
        log.warn(
          { err: leaving },
          'the unfinished generation could not be marked for dropping: the next rebuild, or an hour, does it',
        );
      });
      if (!(error instanceof Unusable)) throw error;
      log.warn({ generation: builder.number }, 'an unfinished generation is of no use: another one is begun');
    } finally {
      await builder.end();
    }
  }
}

/** The present epochs of the logs that have had a fail-over: none as a rule. */
async function epochsOf<V>({ projection, logs }: RebuildOptions<V>): Promise<string> {
  const readers = logsOf(projection, logs);
  for (const reader of readers) await learnEpochs(reader);
  const present = readers.map((reader) => ({ domain: reader.domain, ...presentOf(reader.epochs?.() ?? []) }));
  return present.flatMap(({ domain, number }) => (number > 0 ? [` ${domain}:${number}`] : [])).join('');
}

/**
 * After an interruption or an outage the generation stays for the next builder; after any other error it is marked for
 * dropping. After a suspension it may be dropped already, and written again since.
 */
async function leave<V>(options: RebuildOptions<V>, builder: Builder, error: unknown): Promise<void> {
  const isLost = error instanceof CaudalError && error.reason === 'REBUILD_LOST';
  if (isTransient(error) && !isLost) return;
  const isThere = isLost ? await builder.isThere() : await builder.abandon();
  if (!isThere) await removeGeneration({ ...options, generation: builder.number });
}

/** What an earlier builder has left. Throws Unusable if it is not there, or not of these logs. */
async function resume<V>(
  { projection, logs }: RebuildOptions<V>,
  progress: ProgressStore,
  accepting: boolean,
): Promise<NonNullable<FillingOptions<V>['restored']>> {
  const restored = await progress.load();
  if (!restored) throw new Unusable();
  // Its views are past the events that were left out: they can't be judged again.
  if (isMultiStream(projection) && restored.failed.length > 0 && !accepting) throw new Unusable();
  for (const log of logsOf(projection, logs)) {
    const furthest = Math.max(...restored.progress.parts.map(({ positions }) => positions.get(log.domain) ?? 0));
    // It has lost its end since, in a fail-over: other events will have these positions.
    if ((await log.readLog(furthest, { limit: 1 })).head < furthest) throw new Unusable();
  }
  return restored;
}

/** `checkEpochs` throws Unusable if a log has lost its end since the building began. */
async function build<V>(
  options: RebuildOptions<V>,
  builder: Builder,
  checkEpochs: () => Promise<void>,
): Promise<RebuildReport> {
  const { projection, store, onProgress, acceptFailed = false, keepMs = 600_000, clock = systemClock } = options;
  const generation = builder.number;
  const { signal } = builder;
  const place = { projection, store, generation };
  const collection = collectionOf(place);
  const projector = createHandler(place);
  const replaced = currentOf(builder.record, clock().getTime())?.number;
  // The first generation accepts failed events: there is no older one to keep.
  const accepting = acceptFailed || replaced === undefined;
  const progress = openProgress({ collection: progressOf(place), projection, build: builder.build });

  const restored =
    builder.build.attempt > 1 ? await patiently(() => resume(options, progress, accepting), signal) : undefined;
  if (!restored) await patiently(() => removeGeneration({ ...options, generation }), signal);
  await patiently(() => createGeneration(place), signal);
  await patiently(() => options.bind(projector), signal);
  const parking = options.parking?.(projector.name);
  const parts = restored?.progress.parts ?? newParts(builder.build.parts);
  const filling = startFilling({
    ...options,
    ...{ projector, parking, parts, restored, progress, sampleSize, acceptFailed: accepting, signal },
  });
  const judgeFailed = () => {
    const { listed, count } = filling.failures;
    if (!accepting && count() > 0) throw failedEvents({ listed, count: count() });
  };
  // From here on an earlier builder that has not noticed yet can't save its own progress.
  await patiently(() => filling.save(), signal);
  try {
    await filling.fill();
  } catch (error) {
    if (isTransient(error)) await within(lastSaveMs, filling.save()).catch(() => {});
    throw error;
  }
  judgeFailed();
  await patiently(() => filling.save(), signal);
  await patiently(() => options.filled(projector.name, filling.safePositions()), signal);
  await patiently(() => builder.update((own) => ({ ...own, fed: true })), signal);

  onProgress?.({ step: 'verify' });
  const sample = filling.sample();
  const verified = await verifyBuilt({ ...options, generation, sample, upTo: filling.safePositions(), signal });

  onProgress?.({ step: 'switch' });
  await patiently(checkEpochs, signal);
  // If nothing is replaced, no query sees less than before, and the consumers catch up.
  if (replaced !== undefined) await drawLevel(filling);
  judgeFailed();
  await patiently(() => collection.refresh(), signal);
  let from = 0;
  const announced = ({ number, fed, from: before }: Generation): Generation => {
    // By the clock of this attempt, so that it is ahead. If an answer was lost, an earlier attempt has announced it.
    from = before ?? clock().getTime() + (replaced === undefined ? 0 : announceMs);
    return { number, fed, from };
  };
  await patiently(() => builder.update(announced, keepMs), signal);

  await stayLevel({ from, filling, collection, clock, signal });
  await progressOf(place)
    .drop()
    .catch((error: unknown) => log.warn({ err: error }, 'the progress of the rebuild is left beside its views'));
  const before = replaced === undefined ? undefined : collectionOf({ projection, store, generation: replaced });
  return {
    generation,
    replaced,
    events: filling.events(),
    views: await countViews(collection, before),
    verified,
    failed: filling.failures.listed,
    failedCount: filling.failures.count(),
  };
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
