/** A context's aggregates: commands and strong reads over its log. States of recently used streams stay in memory. */
import { getHeapStatistics } from 'node:v8';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { AnyCommand, AnyDecider } from './entry.ts';
import { openLoader } from './loading.ts';
import { openQueue } from './queue.ts';
import { openSnapshots } from './snapshots.ts';
import { openCache } from './state-cache.ts';
import type { Aggregates, Command, Decided, Decider, Executed } from './types.ts';

export interface AggregatesOptions {
  log: EventLog;
  clock: Clock;
  /** Makes event ids. */
  ids: IdSource;
  /** Idle streams whose state is cached; 10,000 if absent. */
  cacheSize?: number;
  /** Bytes that these states may take; an eighth of the process's heap limit if absent. */
  cacheBytes?: number;
  /** Commands in flight per stream; more are RESOURCE_EXHAUSTED. 1,000 if absent. */
  maxQueue?: number;
  /** How often a command that lost a race to another process is decided again before it is ABORTED; 20 if absent. */
  maxContended?: number;
  /** Milliseconds of a clock that never goes back, for snapshots and locks; performance.now if absent. */
  elapsed?(): number;
}

/** `drain` resolves once no command is in flight and no snapshot is being written. Stop the listeners before. */
export function openAggregates({
  log,
  clock,
  ids,
  cacheSize = 10_000,
  cacheBytes = Math.floor(getHeapStatistics().heap_size_limit / 8),
  maxQueue = 1_000,
  maxContended = 20,
  elapsed = () => performance.now(),
}: AggregatesOptions): Aggregates & { drain(): Promise<void> } {
  const snapshots = openSnapshots(log, elapsed);
  const loader = openLoader(log, snapshots, clock);
  const cache = openCache({ streams: cacheSize, bytes: cacheBytes });
  const unlisten = log.onEpoch?.(cache.forget);
  const queue = openQueue({
    log,
    clock,
    ids,
    elapsed,
    loader,
    snapshots,
    maxQueue,
    maxContended,
    onIdle: cache.release,
  });

  return {
    async execute<S, E extends EventCase, R, C>(command: Command<S, E, R, C>) {
      const decider = command.decider as unknown as AnyDecider;
      const entry = cache.take(decider.entity.stream(command.id), decider);
      return (await queue.execute(entry, command as unknown as AnyCommand)) as Executed<R>;
    },
    async load<S, E extends EventCase>(decider: Decider<S, E>, id: string) {
      const entry = cache.take(decider.entity.stream(id), decider as unknown as AnyDecider);
      try {
        return (await loader.load(entry)) as Decided<S>;
      } finally {
        cache.release(entry);
      }
    },
    async loadAt<S, E extends EventCase>(decider: Decider<S, E>, id: string, at: Date) {
      return (await loader.loadAt(decider as unknown as AnyDecider, decider.entity.stream(id), at)) as Decided<S>;
    },
    async drain() {
      await cache.drained();
      await snapshots.drain();
      unlisten?.();
    },
  };
}
