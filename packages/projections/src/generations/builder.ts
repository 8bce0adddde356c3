/** The right to build a generation: a lease in the projection's record, renewed while the process builds. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type Clock, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { nameOf } from '../stores/keys.ts';
import type { ViewStore } from '../stores/store.ts';
import { changeGenerations, type Generation, type Generations, isAhead, isBuilt } from './generations.ts';

export interface Builder {
  /** The number of the generation that it builds. */
  readonly number: number;
  /** The record as it was at the beginning. */
  readonly record: Generations;
  /** Fires when the lease is lost, or the caller's signal fires. */
  readonly signal: AbortSignal;
  /**
   * Changes its generation in the record (`change` may be called again). If `keepOthersMs` is given, the other
   * generations end that long after its `from`. Throws if the lease is lost.
   */
  update(change: (own: Generation) => Generation, keepOthersMs?: number): Promise<void>;
  /**
   * Marks its generation for dropping, unless queries read it already. False if another builder has dropped it: then
   * the caller must drop what it has written since.
   */
  abandon(): Promise<boolean>;
  /** Releases the lease. Never throws: the lease expires anyway. */
  end(): Promise<void>;
}

const leaseMs = 30_000;
const renewEveryMs = 8_000;
const log = logger('rebuild');

/**
 * Takes the lease and a number for a new generation. Unfinished ones of earlier builders are marked for dropping, but
 * dropped a minute later as any other: until then their consumers, or a suspended builder, could create queue or
 * collection again. ABORTED REBUILD_RUNNING if another process builds, or (`onlyFirst`) has built one.
 */
export async function beginBuilding(options: {
  projection: { name: string; version: number };
  store: ViewStore;
  /** Unique to this building. */
  id: string;
  /** Builds the first generation or none. */
  onlyFirst?: boolean;
  clock: Clock;
  signal?: AbortSignal;
}): Promise<Builder> {
  const { projection, store, id, onlyFirst = false, clock, signal } = options;
  const now = () => clock().getTime();
  const lease = () => ({ id, until: now() + leaseMs });
  const givenUp = (generation: Generation): Generation =>
    generation.from === undefined
      ? { number: generation.number, fed: false, until: generation.until ?? now() }
      : generation;

  const record = await changeGenerations(projection, store, ({ last, builder, generations }) => {
    // An earlier attempt, whose answer was lost, may have taken this lease already.
    const isHeld = builder !== undefined && builder.id !== id && isAhead(builder.until, now(), leaseMs);
    if (isHeld) throw running(projection, builder.until - now());
    if (onlyFirst && isBuilt({ generations })) throw running(projection, 0);
    const kept = generations.map(givenUp);
    return { last: last + 1, builder: lease(), generations: [...kept, { number: last + 1, fed: false }] };
  });
  const number = record.last;
  const ending = new AbortController();
  const lost = new AbortController();

  const change = (next: (record: Generations) => Generations) =>
    changeGenerations(projection, store, (newest) => {
      if (newest.builder?.id !== id) throw leaseLost(projection);
      return next({ ...newest, builder: lease() });
    });

  async function renew(): Promise<void> {
    while (!ending.signal.aborted) {
      await sleep(renewEveryMs, ending.signal);
      if (ending.signal.aborted) return;
      try {
        await change((newest) => newest);
      } catch (error) {
        if (error instanceof CaudalError && error.reason === 'REBUILD_LOST') return lost.abort(error);
        log.warn({ projection: nameOf(projection), err: error }, 'the lease could not be renewed');
      }
    }
  }
  const renewing = renew();

  return {
    number,
    record,
    signal: signal ? AbortSignal.any([signal, lost.signal]) : lost.signal,
    async update(changeOwn, keepOthersMs) {
      await change((newest) => {
        const own = changeOwn(newest.generations.find((generation) => generation.number === number)!);
        const othersUntil = keepOthersMs === undefined ? undefined : own.from! + keepOthersMs;
        return {
          ...newest,
          generations: newest.generations.map((generation) => {
            if (generation.number === number) return own;
            return othersUntil === undefined ? generation : { ...generation, until: generation.until ?? othersUntil };
          }),
        };
      });
    },
    async abandon() {
      // Allowed without the lease, since no other builder gets this number.
      const { generations } = await changeGenerations(projection, store, (newest) => ({
        ...newest,
        generations: newest.generations.map((generation) =>
          generation.number === number ? givenUp(generation) : generation,
        ),
      }));
      return generations.some((generation) => generation.number === number);
    },
    async end() {
      ending.abort();
      await renewing;
      await change(({ builder: _, ...rest }) => rest).catch((error: unknown) => {
        log.warn({ projection: nameOf(projection), err: error }, 'the lease is left to expire');
      });
    },
  };
}

function running(projection: { name: string; version: number }, retryAfterMs: number): CaudalError {
  const message = `Another process is building ${nameOf(projection)}, or has just built it: wait for it.`;
  return new CaudalError('ABORTED', 'REBUILD_RUNNING', message, { retryAfterMs });
}

function leaseLost(projection: { name: string; version: number }): CaudalError {
  const message = `Another process has taken over the building of ${nameOf(projection)}: wait for it.`;
  return new CaudalError('FAILED_PRECONDITION', 'REBUILD_LOST', message);
}
