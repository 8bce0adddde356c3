/** Queries on a projection's views, in the generation that is current when a query begins. */
import { gatherReads } from '@caudal/kernel/gathered-reads.ts';
import { itemsOfPage, jsonBytes } from '@caudal/kernel/page-bytes.ts';
import { type Clock, systemClock } from '@caudal/kernel/time.ts';
import { type CurrentGenerations, currentGenerations } from '../generations/generations.ts';
import { layoutOf, nameOf, typedConditions, typedKey, typedOrder } from '../stores/keys.ts';
import {
  type Collection,
  countMs,
  type FullTextFind,
  type FullTextFound,
  MissingCollection,
  type StoredDocument,
  type TypedKey,
  tooCostly,
  type ViewStore,
} from '../stores/store.ts';
import type { KeyType, Search, StoredView, ViewDeclaration, Views } from '../types.ts';
import { namedRow, typedAggregate } from './aggregate.ts';
import { decodeToken, encodeToken, expiredToken, type PageToken, type Shape } from './page-token.ts';
import { readPage } from './read-page.ts';

export interface OpenViewsOptions<V> {
  projection: ViewDeclaration<V>;
  store: ViewStore;
  /** How long the record of generations is cached; 2,000 ms if absent, which is also the most. */
  cacheMs?: number;
  clock?: Clock;
}

/** Views, and the generations for `awaitSeen`. */
export interface OpenedViews<V> extends Views<V> {
  readonly generations: CurrentGenerations;
}

/** The most views or groups of one read: a page may be shorter than the limit in the query. */
const maxLimit = 1_000;
/** How long a store may work on an aggregation. */
const maxMs = 5_000;

/**
 * Reads views. Errors: UNAVAILABLE if the store can't be reached or nothing is built yet; INVALID_ARGUMENT for a page
 * token that is wrong, or (PAGE_TOKEN_EXPIRED) too old. Throws a plain Error if a query names keys that the projection
 * does not have.
 */
export function openViews<V>(options: OpenViewsOptions<V>): OpenedViews<V> {
  const { projection, store, cacheMs, clock = systemClock } = options;
  const generations = currentGenerations({ projection, store, cacheMs, clock });
  const layout = layoutOf(projection);
  const singles = new WeakMap<Collection['load'], ReturnType<typeof gatherReads<StoredDocument>>>();

  /** Reads one view. Callers at the same time share reads of the store. */
  function single(load: Collection['load']): (id: string) => Promise<StoredDocument | undefined> {
    let read = singles.get(load);
    if (!read) {
      const readMany = async (ids: string[]) => new Map((await load(ids)).map((document) => [document.id, document]));
      read = gatherReads({ readMany });
      singles.set(load, read);
    }
    return read;
  }

  return {
    generations,
    get: (id, { nearest = false } = {}) =>
      onCurrent(generations, async ({ collection }) => {
        const from = (nearest && collection.loadNearest) || collection.load;
        const document = await single(from)(id);
        return document && document.view !== undefined ? storedView(projection, document) : undefined;
      }),
    async find(query) {
      const where = typedConditions(layout, query.where);
      const orderBy = typedOrder(layout, query.orderBy);
      const types = orderBy.map(({ key }) => projection.keys[key]!.type);
      const shape: Shape = {
        projection: nameOf(projection),
        query: ['find', where, orderBy],
        types,
        order: query.order,
      };
      const limit = bounded(query.limit);
      return page(generations, query.pageToken, shape, async ({ number, collection }, token) => {
        const placeOf = ({ id, view }: StoredView<V>) => ({
          keys: orderBy.map(({ key }) => keyOfView(projection, key, view)),
          id,
        });
        const { documents, more } = await readPage({
          limit,
          after: token && { keys: token.keys as TypedKey[], id: token.id },
          find: (after, count) => collection.find({ where, orderBy, after, limit: count }),
          placeOf: (document) => placeOf(storedView(projection, document)),
        });
        const views = documents.map((document) => storedView(projection, document));
        const last = more ? views.at(-1) : undefined;
        return { views, nextPageToken: last ? encodeToken({ generation: number, ...placeOf(last) }, shape) : '' };
      });
    },
    async count(conditions) {
      const where = typedConditions(layout, conditions);
      return onCurrent(generations, ({ collection }) => collection.count(where));
    },
    async aggregate(query) {
      const where = typedConditions(layout, query.where);
      const limit = bounded(query.limit);
      const aggregation = { where, ...typedAggregate(layout, query), limit: limit + 1, maxMs };
      const rows = await onCurrent(generations, ({ collection }) => collection.aggregate(aggregation));
      return { rows: rows.slice(0, limit).map((row) => namedRow(row, query)), more: rows.length > limit };
    },
  };
}

/** The same with full-text search. Throws if the store can't search. */
export function openSearch<V>(options: OpenViewsOptions<V>): OpenedViews<V> & Search<V> {
  const { projection, store } = options;
  if (!store.searches) throw new Error(`${nameOf(projection)}: ${store.name} can't search`);
  const views = openViews(options);
  const layout = layoutOf(projection);

  return {
    ...views,
    async search(query) {
      const { text, fields, facets = [] } = query;
      for (const key of Object.keys(fields))
        if (layout.keys[key]?.type !== 'text') throw new Error(`"${key}" is not a text key of ${nameOf(projection)}`);
      for (const key of facets)
        if (layout.keys[key]?.type !== 'keyword')
          throw new Error(`"${key}" is not a keyword key of ${nameOf(projection)}`);
      for (const weight of Object.values(fields))
        if (!(weight > 0 && weight <= 64 && Number.isInteger(weight * 4)))
          throw new Error(`a weight of ${weight} is no multiple of 1/4 up to 64, which all stores add up alike`);
      const where = typedConditions(layout, query.where);
      const orderBy = typedOrder(layout, query.orderBy);
      const asked = ['search', text, fields, where, orderBy];
      // Before the last view's place, whether the pages forgive typing errors.
      const places: Shape['types'] = orderBy.length > 0 ? orderBy.map(({ key }) => layout.keys[key]!.type) : ['score'];
      const types: Shape['types'] = ['boolean', ...places];
      const shape: Shape = { projection: nameOf(projection), query: asked, types, order: query.order };
      const limit = bounded(query.limit);
      return page(views.generations, query.pageToken, shape, async ({ number, collection }, token) => {
        const [forgave, ...place] = token?.keys ?? [false];
        const keys = orderBy.length > 0 ? (place as TypedKey[]) : [];
        const score = orderBy.length > 0 ? 0 : (place[0] as number);
        const find = {
          text,
          fields,
          where,
          facets,
          orderBy,
          after: token && { score, keys, id: token.id },
          limit: limit + 1,
        };
        const ask = withinDeadline(collection, store.name);
        const { found, forgiving } = token
          ? { found: await ask({ ...find, forgiving: forgave === true }), forgiving: forgave === true }
          : await firstFound(find, ask);
        const hits = found.hits.slice(0, limit);
        const count = itemsOfPage(hits, ({ document }) => jsonBytes(document.view));
        const views = hits.slice(0, count).map(({ document }) => storedView(projection, document));
        const last = found.hits.length > count ? found.hits[count - 1] : undefined;
        const lastPlace = () =>
          orderBy.length > 0 ? orderBy.map(({ key }) => keyOfView(projection, key, views.at(-1)!.view)) : [last!.score];
        return {
          views,
          nextPageToken: last
            ? encodeToken({ generation: number, keys: [forgiving, ...lastPlace()], id: last.document.id }, shape)
            : '',
          total: found.total,
          facets: found.facets,
          forgiven: forgiving && found.total > 0,
        };
      });
    },
  };
}

type Asked = Omit<FullTextFind, 'maxMs'>;
type Ask = (find: Asked) => Promise<FullTextFound>;

/** All calls of one search have one deadline. */
function withinDeadline(collection: Collection, store: string): Ask {
  const until = performance.now() + countMs;
  return async (find) => {
    const maxMs = Math.floor(until - performance.now());
    if (maxMs <= 0) throw tooCostly(store);
    return collection.search!({ ...find, maxMs });
  };
}

/**
 * The first page, with typing errors forgiven if no view has the words as they are. The conditions do not count for that:
 * else what is found by a text would change with them, and an article that they exclude would have its neighbour returned.
 */
async function firstFound(
  find: Omit<Asked, 'forgiving'>,
  ask: Ask,
): Promise<{ found: FullTextFound; forgiving: boolean }> {
  const exact = await ask({ ...find, forgiving: false });
  const asIs = { found: exact, forgiving: false };
  if (find.text === '' || exact.total > 0) return asIs;
  if (find.where.length > 0) {
    const anywhere = await ask({ ...find, forgiving: false, where: [], facets: [], limit: 0 });
    if (anywhere.total > 0) return asIs;
  }
  return { found: await ask({ ...find, forgiving: true }), forgiving: true };
}

interface Place {
  number: number;
  collection: Collection;
}

/**
 * Reads from the current generation. If that was dropped just now, reads once more from the one that is current then.
 */
async function onCurrent<T>(generations: CurrentGenerations, read: (place: Place) => Promise<T>): Promise<T> {
  try {
    return await read(await generations.current());
  } catch (error) {
    if (!(error instanceof MissingCollection)) throw error;
    generations.forget();
    return read(await generations.current());
  }
}

/** Reads the first page from the current generation, and every other page from the same generation as the first. */
async function page<T>(
  generations: CurrentGenerations,
  token: string | undefined,
  shape: Shape,
  read: (place: Place, token: PageToken | undefined) => Promise<T>,
): Promise<T> {
  if (!token) return onCurrent(generations, (place) => read(place, undefined));
  const decoded = decodeToken(token, shape);
  const collection = await generations.named(decoded.generation);
  if (!collection) throw expiredToken();
  try {
    return await read({ number: decoded.generation, collection }, decoded);
  } catch (error) {
    throw error instanceof MissingCollection ? expiredToken() : error;
  }
}

function bounded(limit: number): number {
  return Math.max(1, Math.min(limit, maxLimit));
}

/** A view as queries get it. */
export function storedView<V>(
  projection: ViewDeclaration<V>,
  { id, view, streams, revision }: StoredDocument,
): StoredView<V> {
  return { id, view: projection.codec.fromJSON(view), streams, revision };
}

function keyOfView<V>(projection: ViewDeclaration<V>, name: string, view: V): TypedKey {
  const key = projection.keys[name]!;
  if (key.many) throw new Error(`"${name}" is a list`);
  return typedKey(key.type as KeyType, key.of(view));
}
