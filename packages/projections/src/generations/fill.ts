/** Fills a generation from the logs, again and again until it is level with them. */
import { domainOf, NewerEvent } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { Parking } from '@caudal/messaging/subscription/parking.ts';
import { handleInOrder } from '@caudal/messaging/subscription/settle-in-order.ts';
import type { AnyHandler, Failed, Unfinished } from '@caudal/messaging/types.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { type Logs, readToHeads } from '../read-logs.ts';

export interface FillProgress {
  step: 'fill';
  domain: string;
  position: number;
  head: number;
}

export interface Filling {
  /** Folds in the logs up to their present heads, from where the last call ended. Begins no batch once `until` fires. */
  fill(until?: AbortSignal): Promise<void>;
  /** The first 1,000 events that can't be handled. Events behind them on their streams were left out. */
  readonly failed: { stream: string; version: number; error: unknown }[];
  /** How many events can't be handled. */
  failedCount(): number;
  events(): number;
  /** The first events of some streams, picked at random from all streams. */
  sample(): RecordedEvent[];
  /** How far each domain's log is folded in; before the first event that failed and is not parked. */
  safePositions(): Map<string, number>;
}

const maxAttempts = 40;
const listedAtMost = 1_000;
/** How many failed streams are remembered and left out: a projection that fails everywhere must not fill the memory. */
const heldAtMost = 100_000;

export function cancelled(): CaudalError {
  return new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The rebuild was cancelled.');
}

/** Throws the signal's CaudalError, or CANCELLED. */
function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw signal.reason instanceof CaudalError ? signal.reason : cancelled();
}

/**
 * Repeats work for some minutes while it fails with a transient error. When the work reports progress (`gotOn`), the
 * count of attempts begins again. Throws CANCELLED if `signal` fires.
 */
export async function patiently<T>(work: (gotOn: () => void) => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal);
    try {
      return await work(() => {
        attempt = 1;
      });
    } catch (error) {
      if (attempt === maxAttempts || !isTransient(error)) throw error;
    }
    await sleep(backoffMs(attempt, { firstMs: 100, maxMs: 5_000 }), signal);
  }
}

/** Begins at the beginning of the logs. */
export function startFilling<V>(options: {
  projection: AnyProjection<V>;
  projector: AnyHandler;
  /** For an in-order handler: parks a stream that it can't handle, before it continues. */
  parking?: Parking;
  logs: Logs;
  sampleSize: number;
  /** Continue however many events can't be handled; otherwise more than 1,000 end it, with REBUILD_FAILED_EVENTS. */
  acceptFailed: boolean;
  onProgress?(progress: FillProgress): void;
  signal: AbortSignal;
}): Filling {
  const { projection, projector, parking, logs, sampleSize, acceptFailed, onProgress, signal } = options;
  const positions = new Map<string, number>();
  const failed: Filling['failed'] = [];
  let failedCount = 0;
  /** By domain: the last position before the first event that failed. */
  const beforeFailed = new Map<string, number>();
  const held = new Set<string>();
  const sample: RecordedEvent[] = [];
  let streams = 0;
  let count = 0;

  /** Reservoir sampling: each stream has the same chance, however many follow. */
  function pick(event: RecordedEvent): void {
    streams += 1;
    const place = sample.length < sampleSize ? sample.length : Math.floor(Math.random() * streams);
    if (place < sampleSize) sample[place] = event;
  }

  function note(unfinished: Unfinished): void {
    if (unfinished.kind === 'gap') {
      // It may be behind a failed event, on a stream that is no longer remembered.
      if (held.size === heldAtMost) return;
      // Everything before was folded in, so the log itself lacks the event.
      throw new CaudalError(
        'FAILED_PRECONDITION',
        'REBUILD_INCOMPLETE_LOG',
        `The log of ${unfinished.stream} lacks version ${unfinished.seen + 1}: the views can't be built from it.`,
      );
    }
    const { stream, position } = unfinished.event;
    const domain = domainOf(stream);
    beforeFailed.set(domain, Math.min(beforeFailed.get(domain) ?? Infinity, position - 1));
    if (held.size < heldAtMost) held.add(stream);
    list(unfinished);
  }

  function list({ event: { stream, version }, error }: Failed): void {
    failedCount += 1;
    if (failed.length < listedAtMost) failed.push({ stream, version, error });
    else if (!acceptFailed) throw failedEvents({ failed, failedCount });
  }

  /** Folds events in; returns those that streams may be sampled from. */
  async function fold(events: RecordedEvent[]): Promise<RecordedEvent[]> {
    if (!projector.inOrder) {
      const usable = events.filter(({ stream }) => !held.has(stream));
      for (const one of await projector.handle(usable)) note(one);
      return usable;
    }
    if (!parking) throw new Error(`${projector.name} is a multi-stream projection: give "parking"`);
    await handleInOrder({
      handler: projector,
      events,
      parking,
      async onFailed(failure) {
        // A newer version can handle it: parked, it would be missing from views that this version must not finish.
        if (failure.error instanceof NewerEvent && !acceptFailed) throw failure.error;
        list(failure);
        return 1;
      },
    });
    return [];
  }

  return {
    failed,
    failedCount: () => failedCount,
    events: () => count,
    sample: () => sample.filter(({ stream }) => !held.has(stream)),
    safePositions: () =>
      new Map(
        [...positions].map(([domain, position]) => [domain, Math.min(position, beforeFailed.get(domain) ?? position)]),
      ),
    fill: (until) =>
      patiently(async (gotOn) => {
        for await (const { domain, events, position, head } of readToHeads({ projection, logs, positions })) {
          throwIfAborted(signal);
          if (until?.aborted) return;
          for (const event of await fold(events)) if (event.version === 1) pick(event);
          count += events.length;
          positions.set(domain, position);
          gotOn();
          onProgress?.({ step: 'fill', domain, position, head });
        }
      }, signal),
  };
}

export function failedEvents({ failed, failedCount }: { failed: Filling['failed']; failedCount: number }): CaudalError {
  const { stream, version, error } = failed[0]!;
  return new CaudalError(
    'FAILED_PRECONDITION',
    'REBUILD_FAILED_EVENTS',
    `${failedCount} events can't be handled; the first is version ${version} of ${stream}: ${error}`,
    { cause: error, metadata: { stream, version: String(version) } },
  );
}
