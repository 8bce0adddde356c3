/**
 * Builds a generation of a projection from the logs and lets queries read it: the first one, or one in place of another
 * ("blue/green"), while commands and queries go on.
 *
 *    1. lease    The record says who builds. Another one is refused; what a crashed one left is dropped.
 *    2. bind     `bind(handler)`: the caller makes and binds the generation's queue. From here on the queue gets every new
 *                event. (Without a broker there is nothing to do.)
 *    3. fill     The logs are read from the beginning to the heads that they have now, after the binding, and folded by the
 *                same projector that consumers use.
 *    4. feed     `filled(handler, positions)`: the caller stores where consumers may begin (the checkpoints of a log feed,
 *                and of the sweep). Then the record says that the generation is fed, and the projectors that follow the
 *                record (follow-generations.ts) start consumers, within a second.
 *    5. verify   A sample of views is folded again from the logs and compared. A view that is wrong, or an event that
 *                can't be handled, ends the rebuild, and queries keep what they have.
 *    6. switch   The record says from when on queries read the new generation: a moment ahead, so that every process
 *                knows. Until then the rest of the logs is folded in too, so that the new generation lacks nothing that
 *                the old one has, however slow its consumers are.
 *    7. later    The old generation is fed and readable 10 minutes longer (page tokens name their generation), then
 *                whoever follows the record drops it; `release(handler)` deletes its queue.
 *
 * A crash anywhere leaves the current generation as it is, or after step 6 switched: the switch is in the record. Nothing
 * but views is ever written, so no side effect can fire.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError, isCode } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Clock, sleep, systemClock } from '@caudal/kernel/time.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type Builder, beginBuilding } from './builder.ts';
import { checkView } from './check.ts';
import { followEvent } from './events.ts';
import { cancelled, type Filling, patiently, startFilling } from './fill.ts';
import { dropExpired } from './follow-generations.ts';
import { announceMs, currentOf, readGenerations } from './generations.ts';
import { nameOf } from './keys.ts';
import { collectionOf, createProjector } from './projector.ts';
import { type Logs, logsOf } from './read-logs.ts';
import type { ViewStore } from './store.ts';
import type { Projection } from './types.ts';

export interface RebuildOptions<V> {
  projection: Projection<V>;
  store: ViewStore;
  /** By domain, from the primaries; those of the projection's entities. */
  logs: Logs;
  /** Makes sure that new events will reach a consumer of this handler. */
  bind(handler: Pick<EventHandler, 'name' | 'entities'>): Promise<void>;
  /** Notes that the handler has seen each domain's log up to these positions. */
  filled(handlerName: string, positions: ReadonlyMap<string, number>): Promise<void>;
  /** Undoes `bind`, for a generation that is dropped. May be called again, and for one that was never bound. */
  release(handlerName: string): Promise<void>;
  onProgress?(progress: RebuildProgress): void;
  /** Switch although some events can't be handled (they will be dead letters of the new generation too). */
  acceptFailed?: boolean;
  /** How long the old generation is kept after the switch; 600,000 ms if absent. */
  keepMs?: number;
  signal?: AbortSignal;
  clock?: Clock;
}

export interface RebuildProgress {
  step: 'fill' | 'verify' | 'switch';
  /** While filling: which log, how far, and how far it goes. */
  domain?: string;
  position?: number;
  head?: number;
}

export interface RebuildReport {
  generation: number;
  /** What queries read before; undefined if nothing. */
  replaced: number | undefined;
  /** Events that were read for it. */
  events: number;
  /** How many views it has, and how many the one before has. */
  views: { now: number; before: number | undefined };
  /** Views that were compared with the log. */
  verified: number;
  failed: { stream: string; version: number; error: unknown }[];
}

/** So many streams are compared with the log before a switch: all of a small projection, a sample of a large one. */
const sampleSize = 500;
/** Between two looks at the logs in the moment before the switch. */
const pollMs = 50;
/** A round of filling that takes less is level with the logs. */
const levelMs = 300;
const maxRounds = 100;
const log = logger('rebuild');

/**
 * Builds a generation and switches to it. Errors: ABORTED REBUILD_RUNNING if another process builds one;
 * FAILED_PRECONDITION REBUILD_FAILED_EVENTS, REBUILD_DIFFERS, REBUILD_INCOMPLETE_LOG or REBUILD_TOO_SLOW if it would be wrong; UNAVAILABLE if store or logs can't be
 * reached for minutes; CANCELLED if `signal` fires.
 */
export async function rebuild<V>(options: RebuildOptions<V>): Promise<RebuildReport> {
  const { projection, store, release, clock = systemClock, keepMs = 600_000 } = options;
  logsOf(projection, options.logs);
  const builder = await beginBuilding({ projection, store, id: newId(), clock, signal: options.signal });
  try {
    await dropExpired({ projection, store, release, record: builder.record, now: clock().getTime() });
    return await build(options, builder, keepMs);
  } catch (error) {
    await builder.abandon().catch((abandoning: unknown) => {
      log.warn({ err: abandoning }, 'the next rebuild will have to drop what this one leaves');
    });
    throw error;
  } finally {
    await builder.end();
  }
}

/**
 * Builds the first generation if there is none, or waits until whoever builds it is done. For the start of a projector
 * role. Errors: as of `rebuild`, but not REBUILD_RUNNING.
 */
export async function ensureBuilt<V>(options: RebuildOptions<V>): Promise<void> {
  const { projection, store, signal, clock = systemClock } = options;
  for (;;) {
    const record = await readGenerations(projection, store);
    if (record && currentOf(record, clock().getTime())) return;
    try {
      // There is nothing better than what can be built: events that can't be handled become dead letters.
      await rebuild({ ...options, acceptFailed: true });
      return;
    } catch (error) {
      if (!(isCode(error, 'ABORTED') && error.reason === 'REBUILD_RUNNING')) throw error;
    }
    await sleep(500, signal);
    if (signal?.aborted) throw cancelled();
  }
}

async function build<V>(options: RebuildOptions<V>, builder: Builder, keepMs: number): Promise<RebuildReport> {
  const { projection, store, onProgress, clock = systemClock } = options;
  const generation = builder.number;
  const collection = collectionOf({ projection, store, generation });
  const projector = createProjector({ projection, store, generation });
  const replaced = currentOf(builder.record, clock().getTime())?.number;

  await patiently(() => collection.create(), builder.signal);
  await options.bind(projector);
  const filling = startFilling({ ...options, projector, sampleSize, signal: builder.signal });
  await filling.fill();
  if (replaced !== undefined && !options.acceptFailed) refuseFailed(filling.failed);
  await options.filled(projector.name, filling.safePositions());
  await builder.update((own) => ({ ...own, fed: true }));

  onProgress?.({ step: 'verify' });
  const verified = await verifySample({ ...options, generation, sample: filling.sample(), signal: builder.signal });

  onProgress?.({ step: 'switch' });
  await drawLevel(filling);
  const from = clock().getTime() + (replaced === undefined ? 0 : announceMs);
  await builder.update((own) => ({ ...own, from }), from + keepMs);
  while (clock().getTime() < from) {
    await filling.fill();
    await sleep(pollMs, builder.signal);
  }
  await collection.refresh();
  const before = replaced === undefined ? undefined : collectionOf({ projection, store, generation: replaced });
  return {
    generation,
    replaced,
    events: filling.events(),
    views: { now: await collection.count([]), before: await before?.count([]) },
    verified,
    failed: filling.failed,
  };
}

/**
 * Fills until so little is left that it takes a moment: after the announcement, what happens meanwhile must be folded in
 * in time. Each round has only what came during the one before.
 */
async function drawLevel(filling: Filling): Promise<void> {
  for (let round = 1; round <= maxRounds; round++) {
    const begun = performance.now();
    await filling.fill();
    if (performance.now() - begun < levelMs) return;
  }
  const message = 'Events come faster than they can be folded into the new views: the store is too slow for both.';
  throw new CaudalError('FAILED_PRECONDITION', 'REBUILD_TOO_SLOW', message);
}

function refuseFailed(failed: RebuildReport['failed']): void {
  if (failed.length === 0) return;
  const { stream, version, error } = failed[0]!;
  throw new CaudalError(
    'FAILED_PRECONDITION',
    'REBUILD_FAILED_EVENTS',
    `${failed.length} events can't be handled, first of all version ${version} of ${stream}: ${error}`,
    { cause: error, metadata: { stream, version: String(version) } },
  );
}

/** Compares the views of some streams with the logs; returns how many. What is behind is right so far. */
async function verifySample<V>(
  options: RebuildOptions<V> & { generation: number; sample: RecordedEvent[]; signal: AbortSignal },
): Promise<number> {
  const { projection, logs, sample, signal } = options;
  const collection = collectionOf(options);
  const streams = new Map<string, string[]>();
  for (const event of sample) {
    const id = followEvent(projection, event)?.view;
    if (id !== undefined) streams.set(id, [...(streams.get(id) ?? []), event.stream]);
  }
  for (const [id, ofView] of streams) {
    const check = () => checkView({ projection, collection, logs, id, streams: ofView, settleMs: 0 });
    const wrong = (await patiently(check, signal)).find(({ kind }) => kind !== 'behind');
    if (wrong)
      throw new CaudalError(
        'FAILED_PRECONDITION',
        'REBUILD_DIFFERS',
        `${nameOf(projection)}: the new view ${wrong.id} is not what the log says (${wrong.kind}: ${wrong.detail}).`,
        { metadata: { view: wrong.id } },
      );
  }
  return streams.size;
}
