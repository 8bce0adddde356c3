/**
 * Fills a generation from the logs, again and again until it is level with them. Its progress is saved about every
 * second, or fiftieth of the way. See docs/projections.md, How a rebuild goes on.
 */
import { NewerEvent } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import type { Parking } from '@caudal/messaging/subscription/parking.ts';
import { handleInOrder } from '@caudal/messaging/subscription/settle-in-order.ts';
import type { AnyHandler, Unfinished } from '@caudal/messaging/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { type LogPage, type Logs, readToHeads, readWholeStreams } from '../read-logs.ts';
import { type FailedStream, type Failures, heldAtMost, openFailures } from './failures.ts';
import { commonPositions, foldInParts, type Part } from './parts.ts';
import { patiently, throwIfAborted } from './patience.ts';
import { type Progress, type ProgressStore, Unusable } from './progress.ts';

export interface FillProgress {
  step: 'fill';
  domain: string;
  position: number;
  head: number;
}

export interface Filling {
  /** Folds in the logs up to their present heads, from where the last call ended. Begins no batch once `until` fires. */
  fill(until?: AbortSignal): Promise<void>;
  /** Saves how far it is. */
  save(): Promise<void>;
  /** The events that can't be handled. Events behind them on their streams were left out. */
  readonly failures: Failures;
  /** How many events were folded in, by earlier builders too. */
  events(): number;
  /** Some streams, picked at random from all. */
  sample(): string[];
  /** How far each domain's log is folded in; before the first event that failed and is not parked. */
  safePositions(): Map<string, number>;
}

export interface FillingOptions<V> {
  projection: AnyProjection<V>;
  projector: AnyHandler;
  /** For an in-order handler: parks a stream that it can't handle, before it continues. */
  parking?: Parking;
  logs: Logs;
  /** One for an in-order handler. Those of an earlier builder keep their positions. */
  parts: Part[];
  /** What an earlier builder has left. */
  restored?: { progress: Progress; failed: FailedStream[] };
  progress: Pick<ProgressStore, 'save'>;
  sampleSize: number;
  /** Continue however many events can't be handled; otherwise more than 1,000 end it, with REBUILD_FAILED_EVENTS. */
  acceptFailed: boolean;
  onProgress?(progress: FillProgress): void;
  signal: AbortSignal;
}

const saveEveryMs = 1_000;
const saveEveryShare = 1 / 50;
const judgedAtATime = 8;
const log = logger('rebuild');

/** Begins where an earlier builder was, or at the beginning of the logs. */
export function startFilling<V>(options: FillingOptions<V>): Filling {
  const { projection, projector, parking, logs, parts, restored, sampleSize, acceptFailed, onProgress, signal } =
    options;
  const failures = openFailures({ accept: acceptFailed });
  const sample = restored?.progress.sample ?? { of: 0, streams: [] };
  if (restored) failures.restore({ ...restored.progress.failed, streams: restored.failed });
  /** Of an in-order handler: the parked streams that are noted. */
  const parked = new Set(projector.inOrder ? restored?.failed.map(({ stream }) => stream) : []);
  /** Streams that failed under an earlier builder. This one may have newer code. */
  let unjudged = projector.inOrder ? [] : (restored?.failed ?? []);

  /** Reservoir sampling: each stream has the same chance, however many follow. */
  function pick({ stream }: RecordedEvent): void {
    sample.of += 1;
    const place = sample.streams.length < sampleSize ? sample.streams.length : Math.floor(Math.random() * sample.of);
    if (place < sampleSize) sample.streams[place] = stream;
  }

  function note(unfinished: Unfinished): void {
    if (unfinished.kind === 'failed') {
      failures.note(unfinished, true);
      return;
    }
    // It may be behind a failed event, on a stream that is no longer remembered.
    if (failures.isFull()) return;
    // Everything before was folded in, so the log itself lacks the event.
    throw new CaudalError(
      'FAILED_PRECONDITION',
      'REBUILD_INCOMPLETE_LOG',
      `The log of ${unfinished.stream} lacks version ${unfinished.seen + 1}: the views can't be built from it.`,
    );
  }

  async function fold(events: RecordedEvent[]): Promise<void> {
    if (projector.inOrder) return foldInOrder(events);
    const usable = events.filter(({ stream }) => !failures.holds(stream));
    for (const one of await projector.handle(usable)) note(one);
    for (const event of usable) if (event.version === 1) pick(event);
  }

  async function foldInOrder(events: RecordedEvent[]): Promise<void> {
    if (!projector.inOrder) return;
    if (!parking) throw new Error(`${projector.name} is a multi-stream projection: give "parking"`);
    if (restored) await noteParked(events, parking);
    await handleInOrder({
      handler: projector,
      events,
      parking,
      async onFailed(failure) {
        // A newer version can handle it: parked, it would be missing from views that this version must not finish.
        if (failure.error instanceof NewerEvent && !acceptFailed) throw failure.error;
        if (parked.size < heldAtMost) parked.add(failure.event.stream);
        failures.note(failure, false);
        return 1;
      },
    });
  }

  /**
   * Notes streams that an earlier builder has parked, and could not save in its progress any more. Its code may have
   * been another one, so if failures are not accepted the generation is of no use.
   */
  async function noteParked(events: RecordedEvent[], { without }: Parking): Promise<void> {
    const rest = new Set(await without(events));
    for (const event of events) {
      if (rest.has(event) || parked.has(event.stream)) continue;
      if (!acceptFailed) throw new Unusable(`${event.stream} is parked`);
      if (parked.size < heldAtMost) parked.add(event.stream);
      failures.note({ event, error: new Error('an earlier builder has parked its stream') }, false);
    }
  }

  /** Folds in the rest of the streams that failed before: maybe nothing is wrong with them any more. */
  async function judgeAgain(): Promise<void> {
    await forEachConcurrent(unjudged, judgedAtATime, async ({ stream, version }) => {
      throwIfAborted(signal);
      failures.forget(stream);
      for await (const events of readWholeStreams(logs, [stream], version - 1)) {
        if (projector.inOrder || failures.holds(stream)) break;
        for (const one of await projector.handle(events)) note(one);
      }
    });
    unjudged = [];
  }

  let savedAt = performance.now();
  let savedEvents = count();
  let saving: Promise<void> | undefined;
  let lost: { error: unknown } | undefined;

  function count(): number {
    return parts.reduce((sum, { events }) => sum + events, 0);
  }

  async function saveNow(): Promise<void> {
    savedAt = performance.now();
    savedEvents = count();
    // What can't be saved is folded in again by the next builder.
    const failed = { before: new Map(failures.before), count: failures.count() };
    const changes = failures.changes();
    await options.progress.save({ parts, failed, sample }, changes);
    failures.saved(changes);
  }

  /** Saves beside the work, if it is due. */
  function saveSometimes({ head }: LogPage): void {
    const due = performance.now() - savedAt >= saveEveryMs || count() - savedEvents >= head * saveEveryShare;
    if (saving || !due) return;
    saving = saveNow()
      .catch((error: unknown) => {
        if (isTransient(error)) log.warn({ handler: projector.name, err: error }, 'the progress could not be saved');
        else lost = { error };
      })
      .finally(() => {
        saving = undefined;
      });
  }

  async function* pages(until: AbortSignal | undefined): AsyncIterable<LogPage> {
    for await (const page of readToHeads({ projection, logs, positions: commonPositions(parts) })) {
      throwIfAborted(signal);
      if (lost) throw lost.error;
      if (until?.aborted) return;
      yield page;
    }
  }

  return {
    failures,
    events: count,
    sample: () => sample.streams.filter((stream) => !failures.holds(stream)),
    safePositions: () =>
      new Map(
        [...commonPositions(parts)].map(([domain, position]) => [
          domain,
          Math.min(position, failures.before.get(domain) ?? position),
        ]),
      ),
    async save() {
      await saving;
      // What failed before is not judged yet, and nothing is folded in.
      if (unjudged.length > 0) return;
      await saveNow();
    },
    fill: (until) =>
      patiently(async (gotOn) => {
        await judgeAgain();
        await foldInParts({
          pages: pages(until),
          parts,
          fold,
          onDone(page) {
            gotOn();
            saveSometimes(page);
            const { domain, position, head } = page;
            onProgress?.({ step: 'fill', domain, position, head });
          },
        });
        if (lost) throw lost.error;
      }, signal),
  };
}
