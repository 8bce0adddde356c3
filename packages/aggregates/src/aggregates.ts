/** A context's aggregates: commands and strong reads over its log. States of recently used streams stay in memory. */
import { getHeapStatistics } from 'node:v8';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { AnyDecider, AnyUnit, Entry, Era } from './entry.ts';
import { openLoader } from './loading.ts';
import type { Owners } from './owners.ts';
import { openQueue } from './queue.ts';
import { openSnapshots } from './snapshots.ts';
import { openCache } from './state-cache.ts';
import {
  type Aggregates,
  type Command,
  type Decided,
  type Decider,
  type ExecutedUnit,
  maxParts,
  type Unit,
  type UnitPart,
} from './types.ts';

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
  /** Who owns contended streams; absent in a process that no other one can reach. */
  owners?: Owners;
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
  owners,
  elapsed = () => performance.now(),
}: AggregatesOptions): Aggregates & { drain(): Promise<void> } {
  const era: Era = { number: 0 };
  const snapshots = openSnapshots(log, elapsed, era);
  const loader = openLoader(log, { snapshots, clock, era });
  const cache = openCache({ streams: cacheSize, bytes: cacheBytes });
  const unlisten = log.onEpoch?.(() => {
    era.number++;
    cache.forget();
  });
  const queue = openQueue({
    log,
    clock,
    ids,
    elapsed,
    loader,
    snapshots,
    era,
    owners,
    maxQueue,
    maxContended,
    onIdle: cache.release,
  });

  async function strongRead<S, E extends EventCase>(decider: Decider<S, E>, id: string): Promise<Decided<S>> {
    const entry = cache.take(decider.entity.stream(id), decider as unknown as AnyDecider);
    try {
      return (await loader.load(entry)) as Decided<S>;
    } finally {
      cache.release(entry);
    }
  }

  /** Whether the state in memory permits the caller to change the stream. It may be outdated, or missing. */
  function isPermitted<S, E extends EventCase, C>({ decider, id, authorize }: UnitPart<S, E, C>): boolean {
    const known = cache.peek(decider.entity.stream(id))?.durable;
    try {
      if (known) authorize?.(decider.owner?.(known.state as S));
      return known !== undefined || !authorize;
    } catch {
      return false;
    }
  }

  return {
    async execute<S, E extends EventCase, R, C>(command: Command<S, E, R, C>) {
      const { id, decider, authorize, commandId, origin, replyCodec, forwardable, signal } = command;
      const entry = cache.take(decider.entity.stream(id), decider as unknown as AnyDecider);
      const unit: Unit<S, E, R, C> = {
        parts: [{ decider, id, authorize }],
        decide: ([part]) => [command.decide(part!.state, part!)],
        reply: ([after]) => command.reply(after!),
        ...{ commandId, origin, replyCodec, forwardable, signal },
      };
      const { reply, streams, repeated } = await queue.execute([entry], unit as unknown as AnyUnit);
      return { reply: reply as R, ...streams[0]!, repeated };
    },
    async executeUnit<S, E extends EventCase, R, C>(unit: Unit<S, E, R, C>) {
      const streams = unit.parts.map(({ decider, id }) => decider.entity.stream(id));
      checkParts(streams);
      // A caller without permission must not keep other streams waiting. Each decision asks again.
      const doubtful = unit.parts.filter((part) => !isPermitted(part));
      for (const { decider, id, authorize } of doubtful)
        authorize?.(decider.owner?.((await strongRead(decider, id)).state));
      const entries: Entry[] = [];
      try {
        for (const [n, { decider }] of unit.parts.entries())
          entries.push(cache.take(streams[n]!, decider as unknown as AnyDecider));
      } catch (error) {
        entries.forEach(cache.release);
        throw error;
      }
      const executed = (await queue.execute(entries, unit as unknown as AnyUnit)) as ExecutedUnit<R>;
      if (!executed.repeated) return executed;
      // The log has told the version of one stream. Those of the others now are not older than after the first run.
      const others = await Promise.all(
        unit.parts.flatMap(({ decider, id }, n) => {
          const stream = streams[n]!;
          if (stream === executed.streams[0]!.stream) return [];
          // The answer is known: it does not fail for its consistency token.
          return [
            strongRead(decider, id).then(
              ({ version }) => [{ stream, version }],
              () => [],
            ),
          ];
        }),
      );
      return { ...executed, streams: [...executed.streams, ...others.flat()] };
    },
    load: strongRead,
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

function checkParts(streams: string[]): void {
  if (streams.length === 0) throw new RangeError('A unit has no streams: at least one is needed');
  if (streams.length > maxParts)
    throw new RangeError(`A unit has ${streams.length} streams: at most ${maxParts} are possible`);
  const twice = streams.find((stream, n) => streams.indexOf(stream) < n);
  if (twice !== undefined) throw new RangeError(`A unit names ${twice} twice: join what it does there`);
}
