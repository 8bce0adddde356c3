/**
 * The right to build a generation: a lease in the projection's record, renewed while the process builds. An unfinished
 * generation stays for an hour after its last builder: the next one goes on with it.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { type Clock, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { nameOf } from '../stores/keys.ts';
import type { ViewStore } from '../stores/store.ts';
import {
  type Build,
  changeGenerations,
  type Generation,
  type Generations,
  isAhead,
  isBuilt,
  isUnfinished,
  readGenerations,
} from './generations.ts';

export interface Builder {
  /** The number of the generation that it builds. */
  readonly number: number;
  readonly build: Build;
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
   * Marks its generation for dropping, unless queries read it already, or another builder has taken over. False if it
   * was dropped: then the caller must drop what it has written since.
   */
  abandon(): Promise<boolean>;
  /** Whether its generation is there. False if it was dropped. */
  isThere(): Promise<boolean>;
  /** Releases the lease. Never throws: the lease expires anyway. */
  end(): Promise<void>;
}

/** How long a builder that was killed holds up the next one. */
export const leaseMs = 6_000;
const renewEveryMs = 2_000;
/** The longest lease of any version. */
const longestLeaseMs = 30_000;
/** How long an unfinished generation waits for its next builder. Its queue fills meanwhile. */
const unfinishedMs = 3_600_000;
const log = logger('rebuild');

/**
 * Takes the lease, and the last generation if it is unfinished and of the same code, or else a number for a new one. Other unfinished ones are
 * marked for dropping, but dropped a minute later as any other: until then their consumers, or a suspended builder,
 * could create queue or collection again. ABORTED REBUILD_RUNNING if another process builds, or (`onlyFirst`) has built
 * one.
 */
export async function beginBuilding(options: {
  projection: { name: string; version: number };
  store: ViewStore;
  /** Unique to this building. */
  id: string;
  /** How many parts a new generation is filled in, and by which code. */
  parts: number;
  code: string;
  /** Goes on with no unfinished generation. */
  anew?: boolean;
  /** Builds the first generation or none. */
  onlyFirst?: boolean;
  clock: Clock;
  signal?: AbortSignal;
}): Promise<Builder> {
  const { projection, store, id, parts, code, anew = false, onlyFirst = false, clock, signal } = options;
  const now = () => clock().getTime();
  const lease = () => ({ id, until: now() + leaseMs });
  const givenUp = (generation: Generation): Generation =>
    generation.from === undefined
      ? { number: generation.number, fed: false, until: Math.min(generation.until ?? now(), now()) }
      : generation;
  const kept = (generation: Generation): Generation =>
    generation.build && generation.from === undefined ? { ...generation, until: now() + unfinishedMs } : generation;

  const record = await changeGenerations(projection, store, ({ last, builder, generations }) => {
    const isHeld = builder !== undefined && builder.id !== id && isAhead(builder.until, now(), longestLeaseMs);
    if (isHeld) throw running(projection, builder.until - now());
    if (onlyFirst && isBuilt({ generations })) throw running(projection, 0);
    const unfinished = generations
      .filter((one) => isUnfinished(one, now()))
      .find(({ number, build }) => number === last && (build.id === id || (build.code === code && !anew)));
    const others = generations.filter((generation) => generation !== unfinished).map(givenUp);
    if (unfinished) {
      const { build } = unfinished;
      // An earlier try of this call, whose answer was lost, may have taken it already.
      const attempt = builder?.id === id ? build.attempt : build.attempt + 1;
      const own = kept({ ...unfinished, build: { ...build, attempt } });
      return { last, builder: lease(), generations: [...others, own] };
    }
    const own = kept({ number: last + 1, fed: false, build: { id, attempt: 1, parts, code } });
    return { last: last + 1, builder: lease(), generations: [...others, own] };
  });
  const number = record.last;
  const { build } = record.generations.find((generation) => generation.number === number)!;
  const ending = new AbortController();
  const lost = new AbortController();

  const isIn = ({ generations }: Generations) => generations.some((generation) => generation.number === number);
  const change = (next: (record: Generations) => Generations) =>
    changeGenerations(projection, store, (newest) => {
      if (newest.builder?.id !== id || !isIn(newest)) throw rebuildLost(projection);
      const generations = newest.generations.map((one) => (one.number === number ? kept(one) : one));
      return next({ ...newest, generations, builder: lease() });
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
    build: build!,
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
      const newest = await changeGenerations(projection, store, (before) => {
        if (before.builder?.id !== id) return before;
        const generations = before.generations.map((one) => (one.number === number ? givenUp(one) : one));
        return { ...before, generations };
      });
      return isIn(newest);
    },
    async isThere() {
      const newest = await readGenerations(projection, store);
      return newest !== undefined && isIn(newest);
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

/** Another builder has taken over, or the generation was dropped. */
export function rebuildLost(projection: { name: string; version: number }): CaudalError {
  const message = `Another process has taken over the building of ${nameOf(projection)}: wait for it.`;
  return new CaudalError('FAILED_PRECONDITION', 'REBUILD_LOST', message);
}
