/**
 * Views as queries read them: after what the caller has written (its consistency token), and by id through the cache.
 * Lists, searches, counts and aggregates go to the store: a view's id does not show which of them it changes.
 */

import { jsonCodec } from '@caudal/cache/codec.ts';
import type { Cache } from '@caudal/cache/types.ts';
import type { ContextProjection } from '@caudal/context/context.ts';
import type { SearchReader, ViewReader } from '@caudal/context/view-reader.ts';
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { entitiesOf } from '@caudal/projections/events.ts';
import { type AnyProjection, isMultiStream } from '@caudal/projections/multi-stream/types.ts';
import { generationName } from '@caudal/projections/projector.ts';
import { awaitSeen } from '@caudal/projections/queries/read-your-writes.ts';
import { type OpenedViews, openSearch, openViews } from '@caudal/projections/queries/views.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import type { StoredView, ViewDeclaration } from '@caudal/projections/types.ts';
import type { Call } from '@caudal/rpc/types.ts';

const DEFAULT_CACHE_MS = 60_000;
/** While the store is away, a view that is this much older than it may be is better than none. */
const STALE_IF_ERROR_MS = 60_000;

export interface ReaderOptions {
  definition: ContextProjection;
  store: ViewStore;
  logs: ReadonlyMap<string, LogReader>;
  /** For multi-stream projections: whether an event has gone through the handler of this name. */
  passed?(handlerName: string, event: RecordedEvent): Promise<boolean>;
  cache: Cache;
  /** Whether writes of views invalidate this cache: in this process, or through Redis. */
  cacheIsInvalidated: boolean;
}

/** How the cache knows a view; a revision starts again in every generation. */
export function cacheKey(projection: { name: string; version: number }, generation: number, id: string): string {
  return `${generationName(projection, generation)}/${id}`;
}

export function viewReader<V>(options: ReaderOptions): ViewReader<V> {
  return reader(options, openViews<V>({ projection: options.definition.projection, store: options.store }));
}

export function searchReader<V>(options: ReaderOptions): SearchReader<V> {
  const views = openSearch<V>({ projection: options.definition.projection, store: options.store });
  const reads = reader<V>(options, views);
  return {
    ...reads,
    async search(query, call) {
      await seen(options, views, call);
      return views.search(query);
    },
  };
}

function reader<V>(options: ReaderOptions, views: OpenedViews<V>): ViewReader<V> {
  const { definition, cache, cacheIsInvalidated } = options;
  const projection: AnyProjection<V> = definition.projection;
  const codec = storedViewCodec(projection);
  const entities = new Set(entitiesOf(projection));
  // A cache that nothing invalidates may be a second behind, not more.
  const ttlMs = cacheIsInvalidated ? (definition.cacheMs ?? DEFAULT_CACHE_MS) : 1_000;

  let known: number | undefined;

  /** While the store is away: the last one that was current, whose views the cache may still have. */
  async function currentGeneration(): Promise<number> {
    try {
      known = (await views.generations.current()).number;
    } catch (error) {
      if (known === undefined || !isCode(error, 'UNAVAILABLE')) throw error;
    }
    return known;
  }

  /**
   * What a cached view must have seen; undefined where anything will do, since reads with a condition share no load. A
   * stream that the view knows nothing of may be one that has just begun to feed it, or belong to another view: the store
   * is asked then. So it is of a view that keeps positions, which a version can't be compared with.
   */
  function satisfies({ consistency }: Call): ((stored: StoredView<V>) => boolean) | undefined {
    const followed = consistency.filter(({ stream }) => entities.has(entityOfStream(stream)));
    if (followed.length === 0) return undefined;
    if (isMultiStream(projection)) return () => false;
    return ({ streams }) => followed.every(({ stream, version }) => (streams[stream] ?? 0) >= version);
  }

  return {
    async get(id, call) {
      await seen(options, views, call);
      const number = await currentGeneration();
      const { value, source, ageMs } = await cache.read<StoredView<V>>({
        key: cacheKey(projection, number, id),
        ttlMs,
        staleIfErrorMs: STALE_IF_ERROR_MS,
        codec,
        satisfies: satisfies(call),
        async load() {
          const stored = await views.get(id);
          return stored && { value: stored, version: stored.revision };
        },
      });
      if (source !== 'miss') call.remembered(ageMs);
      return value;
    },
    async find(query, call) {
      await seen(options, views, call);
      return views.find(query);
    },
    async count(where, call) {
      await seen(options, views, call);
      return views.count(where);
    },
    async aggregate(query, call) {
      await seen(options, views, call);
      return views.aggregate(query);
    },
  };
}

function seen<V>({ definition, logs, passed }: ReaderOptions, views: OpenedViews<V>, call: Call): Promise<void> {
  const { consistency, signal } = call;
  if (consistency.length === 0) return Promise.resolve();
  return awaitSeen({ projection: definition.projection, views, logs, passed, consistency, signal });
}

function storedViewCodec<V>({ codec }: ViewDeclaration<V>) {
  return jsonCodec<StoredView<V>>({
    toJSON: (stored) => ({ ...stored, view: codec.toJSON(stored.view) }),
    fromJSON: (json) => {
      const stored = json as StoredView<unknown>;
      return { ...stored, view: codec.fromJSON(stored.view) };
    },
  });
}
