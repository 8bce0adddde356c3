/**
 * Reads of views: they wait for the caller's own writes (its consistency token), and reads by id use the cache. So may pages of
 * searches, for which a change drops the pages that show the view. Lists, counts and aggregates always read the store, since the id
 * of a changed view does not show which of them it affects.
 */

import type { Cache } from '@caudal/cache/types.ts';
import type { ContextProjection } from '@caudal/context/context.ts';
import type { SearchReader, ViewReader } from '@caudal/context/view-reader.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type AnyProjection, isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { type ReadYourWritesOptions, readYourWrites } from '@caudal/projections/queries/read-your-writes.ts';
import type { StreamVersion } from '@caudal/projections/queries/seen-checks.ts';
import { newestOfView, notServedStrongly } from '@caudal/projections/queries/strong-reads.ts';
import { type OpenedViews, openSearch, openViews } from '@caudal/projections/queries/views.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import type { SearchPage, StoredView } from '@caudal/projections/types.ts';
import type { Waits } from '@caudal/rpc/server/waits.ts';
import type { Call } from '@caudal/rpc/types.ts';
import {
  cacheKey,
  cachingOf,
  pageCodec,
  pageKey,
  STALE_IF_ERROR_MS,
  storedViewCodec,
  viewTag,
} from '../caching/view-caching.ts';
import type { Caches } from '../settings/caches.ts';

/** While writes may invalidate nothing, a cached view may be this old. */
const UNINVALIDATED_CACHE_MS = 1_000;

export interface ReaderOptions {
  definition: ContextProjection;
  store: ViewStore;
  logs: ReadonlyMap<string, LogReader>;
  /** For multi-stream projections: whether an event has gone through the handler of this name. */
  passed?: ReadYourWritesOptions<unknown>['passed'];
  cache: Cache;
  /** How views are cached where that is not as their contexts say. */
  caches?: Caches | undefined;
  /** Bounds the calls that wait. */
  waits: Waits;
  /** Whether writes of views invalidate this cache, in this process or through Redis. */
  cacheIsInvalidated: boolean;
}

export function viewReader<V>(options: ReaderOptions): ViewReader<V> {
  return reader(options, openViews<V>({ projection: options.definition.projection, store: options.store }));
}

export function searchReader<V>(options: ReaderOptions): SearchReader<V> {
  const views = openSearch<V>({ projection: options.definition.projection, store: options.store });
  const { seen, several, generation, invalidatedFor, ...reads } = reader<V>(options, views);
  const { definition, cache, caches } = options;
  const { projection } = definition;
  const { pages: caching } = cachingOf(definition, caches);
  const codec = pageCodec<V>(projection);
  return {
    ...reads,
    async search(query, call) {
      // What was written just now is on pages that a cached one need not name.
      const mayBeOld =
        call.readStrength === 'ONE' || (call.readStrength === undefined && call.consistency.length === 0);
      if (!caching || !mayBeOld) return several(call, () => views.search(query));
      await seen(call);
      const current = await generation();
      const { value, ageMs, source } = await cache.read<SearchPage<V>>({
        key: pageKey(projection, current.number, query),
        ttlMs: invalidatedFor(current, caching.ms),
        refreshAhead: caching.strategy === 'refresh-ahead',
        staleIfErrorMs: STALE_IF_ERROR_MS,
        view: `${projection.name}.pages`,
        codec,
        tags: (page) => page.views.map(({ id }) => viewTag(projection, id)),
        load: async () => ({ value: await views.search(query), version: 1 }),
      });
      if (source !== 'miss') call.remembered(ageMs);
      return value!;
    },
  };
}

type Read<V> = { stored: StoredView<V> | undefined; ageMs: number; cached: boolean };

interface Generation {
  number: number;
  settled: boolean;
}

interface Reader<V> extends ViewReader<V> {
  seen(call: Call): Promise<void>;
  several<T>(call: Call, work: () => Promise<T>): Promise<T>;
  generation(): Promise<Generation>;
  /** How long an entry may be served: this long if writes invalidate it. */
  invalidatedFor(generation: Generation, ms: number): number;
}

function reader<V>(options: ReaderOptions, views: OpenedViews<V>): Reader<V> {
  const { definition, store, logs, passed, cache, caches, waits, cacheIsInvalidated } = options;
  const { views: caching } = cachingOf(definition, caches);
  const projection: AnyProjection<V> = definition.projection;
  const codec = storedViewCodec<V>(projection);
  const { generations } = views;
  const writes = readYourWrites<V>({ projection, store, generations, logs, passed });
  let known: Generation | undefined;

  /** The current generation; while the store is unreachable the last known one, whose views may be in the cache. */
  async function currentGeneration(): Promise<Generation> {
    try {
      known = await views.generations.current();
    } catch (error) {
      if (known === undefined || !isCode(error, 'UNAVAILABLE')) throw error;
    }
    return known;
  }

  /**
   * The condition on a cached view; undefined if any will do, since reads with a condition share no load. A stream of
   * the token that is missing in the view may be new to it, or belong to another view: then the store is read. So
   * is it for a view that keeps positions, which can't be compared with versions.
   */
  function includes(wanted: StreamVersion[]): ((stored: StoredView<V>) => boolean) | undefined {
    if (wanted.length === 0) return undefined;
    if (isMultiStream(projection)) return () => false;
    return ({ streams }) => wanted.every(({ stream, version }) => (streams[stream] ?? 0) >= version);
  }

  const invalidatedFor = ({ settled }: Generation, ms: number) =>
    cacheIsInvalidated && settled ? ms : Math.min(ms, UNINVALIDATED_CACHE_MS);

  async function read(id: string, satisfies: ReturnType<typeof includes>, nearest = false): Promise<Read<V>> {
    const current = await currentGeneration();
    const { value, source, ageMs } = await cache.read<StoredView<V>>({
      key: cacheKey(projection, current.number, id),
      ttlMs: invalidatedFor(current, caching.ms),
      refreshAhead: caching.strategy === 'refresh-ahead',
      staleIfErrorMs: STALE_IF_ERROR_MS,
      view: projection.name,
      codec,
      satisfies,
      // A copy that is behind by more than invalidations are remembered would bring an old view back for the whole time.
      keep: !nearest,
      async load() {
        const stored = await views.get(id, { nearest });
        return stored && { value: stored, version: stored.revision };
      },
    });
    return { stored: value, ageMs, cached: source !== 'miss' };
  }

  async function seen(call: Call, wanted = call.consistency): Promise<void> {
    if (wanted.length === 0 || call.readStrength === 'ONE') return;
    await writes.seen(wanted, { signal: call.signal, begin: () => waits.begin(call.caller) });
  }

  /** Waits until the view has what the log has now, and reads it from the store. */
  async function strongly(id: string, call: Call): Promise<StoredView<V> | undefined> {
    const stored = await views.get(id);
    await seen(call, [
      ...writes.ofView(id, call.consistency),
      ...(await newestOfView({ projection, logs, id, streams: stored?.streams ?? {} })),
    ]);
    return views.get(id);
  }

  /** A read of several views, which are never read from a cache here. */
  async function several<T>(call: Call, work: () => Promise<T>): Promise<T> {
    if (call.readStrength === 'STRONG') throw notServedStrongly();
    await seen(call);
    const result = await work();
    if (call.readStrength === 'QUORUM') await store.confirm?.();
    return result;
  }

  return {
    seen,
    several,
    generation: currentGeneration,
    invalidatedFor,
    async get(id, call) {
      if (call.readStrength === 'STRONG') return strongly(id, call);
      if (call.readStrength === 'QUORUM') {
        await seen(call, writes.ofView(id, call.consistency));
        const stored = await views.get(id);
        await store.confirm?.();
        return stored;
      }
      const wanted = writes.ofView(id, call.consistency);
      const satisfies = includes(wanted);
      const answer = ({ stored, ageMs, cached }: Read<V>) => {
        if (cached) {
          call.remembered(ageMs);
          call.balance?.(() => read(newId(), undefined));
        }
        return stored;
      };
      if (call.readStrength === 'ONE') return answer(await read(id, undefined, true));
      // The view itself shows what it has seen: mostly that is enough, and often it is in the cache.
      if (satisfies && !isMultiStream(projection) && !(await writes.mayBeLost(wanted))) {
        const first = await read(id, satisfies);
        if (first.stored && satisfies(first.stored)) return answer(first);
      }
      await seen(call, wanted);
      return answer(await read(id, satisfies));
    },
    find: (query, call) => several(call, () => views.find(query)),
    count: (where, call) => several(call, () => views.count(where)),
    aggregate: (query, call) => several(call, () => views.aggregate(query)),
  };
}
