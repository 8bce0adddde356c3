/**
 * Views in Elasticsearch: an index for each generation, used through its alias. A write names the `_seq_no` that it
 * read, or creates; 409 means a lost race. See README, How views are written.
 */

import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { Client, errors, type estypes } from '@elastic/elasticsearch';
import { type Analysis, plainAnalysis } from '../search/analysis.ts';
import { aggregateWith } from './elasticsearch-aggregate.ts';
import { conditionsQuery, findAfter, sortOf } from './elasticsearch-query.ts';
import { countsOf, searchRequest } from './elasticsearch-search.ts';
import { sumsMapping, sumsOf } from './elasticsearch-sums.ts';
import { foundNothing, plainKeysOf, textKeysOf, tokensOf, wordsQuery } from './full-text.ts';
import { boundedConditions } from './keys.ts';
import { packStreams, unpackStreams } from './marks.ts';
import {
  type Collection,
  countMs,
  type KeyLayout,
  type Layout,
  MissingCollection,
  type SaveResult,
  type StoredDocument,
  saveSingly,
  type TypedKey,
  tooCostly,
  type ViewStore,
  type Write,
} from './store.ts';

interface Source {
  id: string;
  rev: number;
  deleted: boolean;
  streams: Record<string, number>;
  view?: unknown;
}

interface Guard {
  seqNo: number;
  primaryTerm: number;
}

/**
 * Searches of a process read the same copy of a shard while it is there: copies show a write at different moments, so
 * what one search has found could be missing in the next.
 */
const preference = newId();
/** Fields that only the index needs. */
const unread = ['keys', 'sums'];

/** If a call with documents fails with 400 or 413, a document is at fault. */
function isDocumentError(error: unknown): boolean {
  return error instanceof errors.ResponseError && (error.statusCode === 400 || error.statusCode === 413);
}

export interface ElasticsearchStoreOptions {
  /** `http://user:password@host:port`, or several, separated by commas. */
  url: string;
  /** The beginning of every index's name, so that contexts and systems can share a cluster. */
  prefix: string;
  /** Copies of a shard that must be there before a write begins; the primary if absent. */
  waitForActiveShards?: number | 'all';
  /** How texts are searched. It should be the same in all processes; plainAnalysis if absent. */
  analysis?: Analysis;
}

/** How long a write waits for copies; less than the client waits for an answer. */
const activeShardsWait = '5s';

/** Opens a store; connects at first use and again by itself. */
export function openElasticsearchStore(options: ElasticsearchStoreOptions): ViewStore {
  const { url, prefix, waitForActiveShards = 1, analysis = plainAnalysis } = options;
  // Callers retry with back-off: retries here too would only make waits longer.
  const client = new Client({ nodes: url.split(','), maxRetries: 0, requestTimeout: 10_000 });
  return {
    name: 'Elasticsearch',
    searches: true,
    analysis: analysis.fingerprint,
    viewsPerCall: Number.POSITIVE_INFINITY,
    collection: (name, layout) => collection({ client, waitForActiveShards, analysis }, `${prefix}-${name}`, layout),
    close: () => client.close(),
  };
}

interface Access {
  client: Client;
  waitForActiveShards: number | 'all';
  analysis: Analysis;
}

function collection({ client, waitForActiveShards, analysis }: Access, alias: string, layout: Layout): Collection {
  const index = `${alias}-index`;

  function callersError(error: unknown): unknown {
    if (!(error instanceof errors.ResponseError)) return unavailable('Elasticsearch', error);
    if (typeOfError(error) === 'index_not_found_exception') return new MissingCollection(alias, error);
    return isDocumentError(error) ? error : unavailable('Elasticsearch', error);
  }

  async function guarded<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw callersError(error);
    }
  }

  async function save(writes: Write[]): Promise<SaveResult> {
    const operations = writes.flatMap((write) => {
      const guard = write.guard as Guard | undefined;
      const action = guard
        ? { index: { _index: alias, _id: write.id, if_seq_no: guard.seqNo, if_primary_term: guard.primaryTerm } }
        : { create: { _index: alias, _id: write.id } };
      return [action, sourceOf(write, layout, analysis)];
    });
    const { items } = await guarded(
      client.bulk({
        require_alias: true,
        wait_for_active_shards: waitForActiveShards,
        timeout: activeShardsWait,
        operations,
      }),
    );
    const result: SaveResult = { lost: [], refused: [] };
    items.forEach((item, place) => {
      const { status, error } = item.index ?? item.create!;
      const { id } = writes[place]!;
      if (status === 409) result.lost.push(id);
      else if (error?.type === 'index_not_found_exception') throw new MissingCollection(alias, error);
      else if (status === 400 || status === 413)
        result.refused.push({ id, error: new Error(error?.reason ?? error?.type) });
      else if (status >= 300) throw unavailable('Elasticsearch', error);
    });
    return result;
  }

  /** A complete answer or an error: by default the answer leaves out a shard that fails. */
  const search = (request: estypes.SearchRequest) =>
    guarded(
      client.search<Source>({
        ...(!request.pit && { index: alias, preference }),
        allow_partial_search_results: false,
        _source: { excludes: unread },
        track_total_hits: false,
        ...request,
      }),
    );

  /** A time-out, or too much memory or too many groups, becomes QUERY_TOO_COSTLY. */
  async function costed<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw isTooCostly(error) ? tooCostly('Elasticsearch', error) : error;
    }
  }

  return {
    async create() {
      try {
        await client.indices.create({
          index,
          aliases: { [alias]: { is_write_index: true } },
          mappings: mappingOf(layout),
        });
      } catch (error) {
        if (typeOfError(error) !== 'resource_already_exists_exception') throw callersError(error);
      }
    },
    async drop() {
      await guarded(client.indices.delete({ index, ignore_unavailable: true }));
    },
    async load(ids) {
      if (ids.length === 0) return [];
      const { docs } = await guarded(client.mget<Source>({ index: alias, ids, _source_excludes: unread }));
      return docs.flatMap((found) => {
        if ('error' in found)
          throw found.error.type === 'index_not_found_exception'
            ? new MissingCollection(alias, found.error)
            : unavailable('Elasticsearch', found.error);
        if (!found.found) return [];
        const guard: Guard = { seqNo: found._seq_no!, primaryTerm: found._primary_term! };
        return [{ ...documentOf(found._source!), guard }];
      });
    },
    async save(writes) {
      if (writes.length === 0) return { lost: [], refused: [] };
      try {
        return await save(writes);
      } catch (error) {
        if (!isDocumentError(error)) throw error;
        return saveSingly(writes, (write) => save([write]), isDocumentError);
      }
    },
    async find(find) {
      const { orderBy, after, limit } = find;
      const filter = [...conditionsQuery(boundedConditions(find)), ...(after ? [findAfter({ orderBy, after })] : [])];
      const found = search({
        query: { bool: { filter, must_not: { term: { deleted: true } } } },
        sort: sortOf(orderBy),
        size: limit,
        timeout: `${countMs}ms`,
      });
      const { hits, timed_out: tooLate } = await costed(found);
      if (tooLate) throw tooCostly('Elasticsearch');
      return hits.hits.map((hit) => documentOf(hit._source!));
    },
    async count(where) {
      const query = { bool: { filter: conditionsQuery(where), must_not: { term: { deleted: true } } } };
      const counted = search({ query, size: 0, track_total_hits: true, timeout: `${countMs}ms` });
      const { hits, timed_out: tooLate } = await costed(counted);
      if (tooLate) throw tooCostly('Elasticsearch');
      return (hits.total as estypes.SearchTotalHits).value;
    },
    aggregate(aggregation) {
      const openPoint = async (keepMs: number) =>
        (await guarded(client.openPointInTime({ index: alias, preference, keep_alive: `${keepMs}ms` }))).id;
      const closePoint = async (id: string) => void (await guarded(client.closePointInTime({ id })));
      return costed(aggregateWith({ search, openPoint, closePoint }, aggregation, layout));
    },
    async scan({ afterId, limit }) {
      const query = afterId === undefined ? { match_all: {} } : { range: { id: { gt: afterId } } };
      const { hits } = await search({ query, sort: sortOf([]), size: limit });
      return hits.hits.map((hit) => documentOf(hit._source!));
    },
    async refresh() {
      await guarded(client.indices.refresh({ index: alias }));
    },
    async found(ids) {
      const query = { ids: { values: ids } };
      const { hits } = await search({ query, size: ids.length, _source: { includes: ['id', 'streams'] } });
      return hits.hits.map(({ _source: source }) => ({ id: source!.id, ...unpackStreams(source!.streams) }));
    },
    async search(find) {
      const words = wordsQuery(find, { layout, analysis });
      if (words === 'nothing') return foundNothing(find);
      const asked = search({ ...searchRequest(find, words), timeout: `${find.maxMs}ms` });
      const { hits, aggregations, timed_out: tooLate } = await costed(asked);
      if (tooLate) throw tooCostly('Elasticsearch');
      return {
        hits: hits.hits.map((hit) => ({ document: documentOf(hit._source!), score: hit._score ?? 0 })),
        ...countsOf(find, aggregations!),
      };
    },
  };
}

function typeOfError(error: unknown): string | undefined {
  return error instanceof errors.ResponseError ? error.body?.error?.type : undefined;
}

/** Whether Elasticsearch stopped the request: out of time, out of the memory for a request, or too many groups. */
function isTooCostly(error: unknown): boolean {
  const cause = (error as Error).cause;
  if (!(cause instanceof errors.ResponseError)) return false;
  const said = JSON.stringify(cause.body?.error ?? '');
  return /"(search_timeout|too_many_buckets|circuit_breaking)_exception"|Time exceeded/.test(said);
}

function mappingOf(layout: Layout): estypes.MappingTypeMapping {
  const property = ({ type }: KeyLayout): estypes.MappingProperty =>
    type === 'timestamp'
      ? { type: 'date', format: 'strict_date_optional_time' }
      : ({ type } as estypes.MappingProperty);
  return {
    dynamic: 'strict',
    // Nothing reads the tokens back.
    _source: { excludes: ['words'] },
    properties: {
      id: { type: 'keyword' },
      rev: { type: 'long', index: false },
      deleted: { type: 'boolean' },
      streams: { type: 'object', enabled: false },
      view: { type: 'object', enabled: false },
      ...sumsMapping(layout),
      ...(textKeysOf(layout).length > 0 && { words: { type: 'keyword', doc_values: false } }),
      keys: {
        dynamic: 'strict',
        properties: Object.fromEntries(plainKeysOf(layout).map((key) => [key, property(layout.keys[key]!)])),
      },
    },
  };
}

function sourceOf(write: Write, layout: Layout, analysis: Analysis): Source & { keys?: unknown; words?: string[] } {
  const { id, revision, view, keys } = write;
  const streams = packStreams(write);
  if (view === undefined) return { id, rev: revision, deleted: true, streams };
  // int8 goes as text: JavaScript's numbers would round it.
  const json = (value: TypedKey) => (typeof value === 'bigint' ? value.toString() : value);
  const values = plainKeysOf(layout).map((key) => {
    const value = keys[key] ?? null;
    return [key, Array.isArray(value) ? value.map(json) : json(value)];
  });
  return {
    id,
    rev: revision,
    deleted: false,
    streams,
    keys: Object.fromEntries(values),
    ...(textKeysOf(layout).length > 0 && { words: tokensOf(write, layout, analysis) }),
    ...sumsOf(write, layout),
    view,
  };
}

function documentOf({ id, rev, deleted, streams, view }: Source): StoredDocument {
  return { id, revision: rev, ...unpackStreams(streams), view: deleted ? undefined : view };
}
