/** Filling a generation from the logs, as often as it takes to be level with them. */
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { EventHandler, Unfinished } from '@caudal/messaging/types.ts';
import { type Logs, readToHeads } from './read-logs.ts';
import type { Projection } from './types.ts';

export interface FillProgress {
  step: 'fill';
  domain: string;
  position: number;
  head: number;
}

export interface Filling {
  /** Folds in what the logs have up to their present heads, from where the last call ended. */
  fill(): Promise<void>;
  /** Events that can't be handled; what is behind them on their streams was left out. */
  readonly failed: { stream: string; version: number; error: unknown }[];
  events(): number;
  /** First events of streams, picked at random from all. */
  sample(): RecordedEvent[];
  /** How far each domain's log is folded in, but not beyond an event that failed. */
  safePositions(): Map<string, number>;
}

const maxAttempts = 40;

export function cancelled(): CaudalError {
  return new CaudalError('CANCELLED', 'CANCELLED', 'It was told to stop.');
}

/** Tries for some minutes what fails only because something can't be reached. Throws CANCELLED if `signal` fires. */
export async function patiently<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw signal.reason instanceof CaudalError ? signal.reason : cancelled();
    try {
      return await work();
    } catch (error) {
      if (attempt === maxAttempts || !isTransient(error)) throw error;
    }
    await sleep(backoffMs(attempt, { firstMs: 100, maxMs: 5_000 }), signal);
  }
}

/** Begins at the beginning of the logs. */
export function startFilling<V>(options: {
  projection: Projection<V>;
  projector: EventHandler;
  logs: Logs;
  sampleSize: number;
  onProgress?(progress: FillProgress): void;
  signal: AbortSignal;
}): Filling {
  const { projection, projector, logs, sampleSize, onProgress, signal } = options;
  const positions = new Map<string, number>();
  const failed: Filling['failed'] = [];
  const held = new Map<string, RecordedEvent>();
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
    if (unfinished.kind === 'gap')
      // Everything before was folded in, so it is the log that lacks something.
      throw new CaudalError(
        'FAILED_PRECONDITION',
        'REBUILD_INCOMPLETE_LOG',
        `The log of ${unfinished.stream} lacks version ${unfinished.seen + 1}: the views can't be built from it.`,
      );
    const { event, error } = unfinished;
    held.set(event.stream, event);
    failed.push({ stream: event.stream, version: event.version, error });
  }

  return {
    failed,
    events: () => count,
    sample: () => sample.filter(({ stream }) => !held.has(stream)),
    safePositions() {
      const safe = new Map(positions);
      for (const { stream, position } of held.values()) {
        const domain = domainOf(stream);
        safe.set(domain, Math.min(safe.get(domain) ?? 0, position - 1));
      }
      return safe;
    },
    fill: () =>
      patiently(async () => {
        for await (const { domain, events, position, head } of readToHeads({ projection, logs, positions })) {
          const usable = events.filter(({ stream }) => !held.has(stream));
          const unfinished = await patiently(() => projector.handle(usable), signal);
          for (const one of unfinished) note(one);
          for (const event of usable) if (event.version === 1) pick(event);
          count += events.length;
          positions.set(domain, position);
          onProgress?.({ step: 'fill', domain, position, head });
        }
      }, signal),
  };
}
