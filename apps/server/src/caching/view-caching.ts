/** How the views of a projection are cached: its keys, its strategy, and what its projector does after a write. */
import { createHash } from 'node:crypto';
import { type CacheCodec, jsonCodec } from '@caudal/cache/codec.ts';
import type { Cache } from '@caudal/cache/types.ts';
import type { ContextProjection, ViewCaching } from '@caudal/context/context.ts';
import { generationName, type ProjectorOptions } from '@caudal/projections/projector.ts';
import { storedView } from '@caudal/projections/queries/views.ts';
import type { SearchPage, SearchQuery, StoredView, ViewDeclaration } from '@caudal/projections/types.ts';
import type { Caches } from '../settings/caches.ts';

const byDefault: ViewCaching = { strategy: 'cache-aside', ms: 60_000 };
/** While the store is unreachable, a cached view is served for this long after it has expired. */
export const STALE_IF_ERROR_MS = 60_000;

/** How views and pages of a projection are cached, by the settings or else as their context says. */
export function cachingOf(definition: ContextProjection, caches: Caches | undefined) {
  const { name } = definition.projection;
  return {
    views: caches?.get(name) ?? definition.cache ?? byDefault,
    pages: caches?.get(`${name}.pages`) ?? definition.pages,
  };
}

/** The cache key of a view. It contains the generation, since revisions start again in each. */
export function cacheKey(projection: { name: string; version: number }, generation: number, id: string): string {
  return `${generationName(projection, generation)}/${id}`;
}

/** The cache key of a page. It contains all of what the caller asked, which may be long. */
export function pageKey(projection: { name: string; version: number }, generation: number, query: SearchQuery): string {
  const text = JSON.stringify(query, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  return `pages/${generationName(projection, generation)}/${createHash('sha256').update(text).digest('base64url')}`;
}

/** The tag of the pages that show a view. */
export const viewTag = (projection: { name: string }, id: string): string => `${projection.name}/${id}`;

export function storedViewCodec<V>({ codec }: ViewDeclaration<V>): CacheCodec<StoredView<V>> {
  return jsonCodec<StoredView<V>>(storedCodec(codec));
}

export function pageCodec<V>({ codec }: ViewDeclaration<V>): CacheCodec<SearchPage<V>> {
  const stored = storedCodec(codec);
  return jsonCodec<SearchPage<V>>({
    toJSON: (page) => ({ ...page, views: page.views.map(stored.toJSON) }),
    fromJSON: (json) => {
      const page = json as SearchPage<unknown>;
      return { ...page, views: page.views.map(stored.fromJSON) };
    },
  });
}

function storedCodec<V>(codec: ViewDeclaration<V>['codec']) {
  return {
    toJSON: (stored: StoredView<V>): unknown => ({ ...stored, view: codec.toJSON(stored.view) }),
    fromJSON: (json: unknown): StoredView<V> => {
      const stored = json as StoredView<unknown>;
      return { ...stored, view: codec.fromJSON(stored.view) };
    },
  };
}

export interface AfterWritesOptions {
  cache: Cache;
  definition: ContextProjection;
  caches: Caches | undefined;
  /** Whether queries see what this process puts into the cache: they run in it, or share Redis with it. */
  isShared: boolean;
}

/** What a projector does to the cache after it has written views. */
export function afterWrites<V>(options: AfterWritesOptions): NonNullable<ProjectorOptions<V>['onWritten']> {
  const { cache, definition, caches, isShared } = options;
  const { views: caching, pages } = cachingOf(definition, caches);
  const { projection } = definition;
  const codec = storedViewCodec<V>(projection);
  return async (generation, documents) => {
    const keyed = ({ id }: { id: string }) => cacheKey(projection, generation, id);
    const through = isShared && caching.strategy === 'write-through';
    const gone = through ? documents.filter(({ view }) => view === undefined) : documents;
    await cache.invalidate(...gone.map((document) => ({ key: keyed(document), version: document.revision })));
    if (through)
      await cache.write(
        ...documents
          .filter(({ view }) => view !== undefined)
          .map((document) => ({
            key: keyed(document),
            ttlMs: caching.ms,
            staleIfErrorMs: STALE_IF_ERROR_MS,
            codec,
            view: projection.name,
            value: storedView<V>(projection, document),
            version: document.revision,
          })),
      );
    if (pages) await cache.dropTags(...documents.map(({ id }) => viewTag(projection, id)));
  };
}
