/**
 * Aggregations in Elasticsearch: exact `composite` buckets, with longs read as text. `composite` orders by group keys
 * only, so rows in another order are all read and ordered here. See README, How views are written.
 */
import type { estypes } from '@elastic/elasticsearch';
import { compareRows, groupOfNone } from './aggregation.ts';
import { conditionsQuery } from './elasticsearch-query.ts';
import { sumAggregations, sumIn } from './elasticsearch-sums.ts';
import {
  type Aggregation,
  type AggregationRow,
  type Layout,
  type TypedComputation,
  type TypedKey,
  tooCostly,
} from './store.ts';

/** The most groups that can be ordered by a computed value. */
export const maxGroups = 50_000;
const groupsPerCall = 2_000;

type Aggregations = Record<string, estypes.AggregationsAggregationContainer>;
type Bucket = { key?: Record<string, string | number | boolean | null>; doc_count?: number };

/** The calls that an aggregation makes. */
export interface AggregationCalls {
  /** Searches the collection, or the point in time that the request names. */
  search(request: estypes.SearchRequest): Promise<estypes.SearchResponse<unknown>>;
  openPoint(keepMs: number): Promise<string>;
  closePoint(id: string): Promise<void>;
}

/** The rows of an aggregation. Errors: QUERY_TOO_COSTLY, and those of the calls. */
export async function aggregateWith(
  { search, openPoint, closePoint }: AggregationCalls,
  aggregation: Aggregation,
  layout: Layout,
): Promise<AggregationRow[]> {
  const { where, groupBy, orderBy, limit, maxMs } = aggregation;
  const aggs = aggregationsOf(aggregation, layout);
  const query = { bool: { filter: conditionsQuery(where), must_not: { term: { deleted: true } } } };
  const deadline = performance.now() + maxMs;

  async function read(request: estypes.SearchRequest) {
    const leftMs = Math.ceil(deadline - performance.now());
    if (leftMs <= 0) throw tooCostly('Elasticsearch');
    const answer = await search({ size: 0, query, timeout: `${leftMs}ms`, ...request });
    if (answer.timed_out) throw tooCostly('Elasticsearch');
    return answer;
  }

  if (groupBy.length === 0) {
    const { hits, aggregations } = await read({ track_total_hits: true, aggs });
    const { value } = hits.total as estypes.SearchTotalHits;
    if (value === 0) return [groupOfNone(aggregation)];
    return [rowOf({ doc_count: value, ...aggregations }, aggregation, layout)];
  }

  /** Groups after this one, in the order of their keys. */
  async function groups(size: number, after: AggregationRow | undefined, pit: string | undefined) {
    const { aggregations } = await read({
      ...(pit && { pit: { id: pit, keep_alive: `${2 * maxMs}ms` } }),
      aggs: { groups: { composite: compositeOf(aggregation, size, after), aggs } },
    });
    const { buckets } = aggregations!.groups as { buckets: Bucket[] };
    return buckets.map((bucket) => rowOf(bucket, aggregation, layout));
  }

  if (orderBy.every(({ by }) => 'group' in by)) return groups(limit, undefined, undefined);
  let rows = await groups(groupsPerCall, undefined, undefined);
  if (rows.length === groupsPerCall) rows = await allGroups();
  return rows.sort(compareRows(aggregation)).slice(0, limit);

  async function allGroups(): Promise<AggregationRow[]> {
    const pit = await openPoint(2 * maxMs);
    try {
      const all: AggregationRow[] = [];
      for (;;) {
        const found = await groups(groupsPerCall, all.at(-1), pit);
        all.push(...found);
        if (found.length < groupsPerCall) return all;
        if (all.length > maxGroups) throw tooCostly('Elasticsearch');
      }
    } finally {
      // It expires by itself; its failure must not hide the result or an earlier error.
      await closePoint(pit).catch(() => {});
    }
  }
}

/** The aggregations of each group. */
function aggregationsOf({ groupBy, compute }: Aggregation, layout: Layout): Aggregations {
  const longs = groupBy.filter(({ key }) => layout.keys[key]!.type === 'long').map(({ key }) => key);
  const keys = longs.length > 0 ? { hit: { top_hits: valuesOfHit(longs, layout) } } : {};
  return Object.assign(keys, ...compute.map((computation, place) => computed(`c${place}`, computation, layout)));
}

/** Sources in the order of the rows, so that the first groups are the first rows. */
function compositeOf(
  { groupBy, orderBy }: Aggregation,
  size: number,
  after: AggregationRow | undefined,
): estypes.AggregationsCompositeAggregation {
  const ordered = orderBy.flatMap(({ by, descending }) => ('group' in by ? [{ place: by.group, descending }] : []));
  const sources = ordered.map(({ place, descending }) => {
    const { key, unit } = groupBy[place]!;
    // By default the group of null is first in ascending order and last in descending order.
    const source = { field: `keys.${key}`, missing_bucket: true, order: descending ? 'desc' : 'asc' } as const;
    return { [`g${place}`]: unit ? { date_histogram: { ...source, calendar_interval: unit } } : { terms: source } };
  });
  if (!after) return { size, sources };
  const key = Object.fromEntries(ordered.map(({ place }) => [`g${place}`, keyAsText(after.group[place]!)]));
  return { size, sources, after: key as estypes.AggregationsCompositeAggregateKey };
}

/** A key for `after`. */
function keyAsText(value: TypedKey): string | number | boolean | null {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Date ? value.getTime() : value;
}

/** One hit's values of these keys. */
function valuesOfHit(keys: string[], layout: Layout): estypes.AggregationsTopHitsAggregation {
  const fields = keys.map((key) => {
    const field = `keys.${key}`;
    return layout.keys[key]!.type === 'long' ? { field, format: '0' } : { field };
  });
  return { size: 1, _source: false, docvalue_fields: fields };
}

function computed(name: string, computation: TypedComputation, layout: Layout): Aggregations {
  if (computation.kind === 'count') return {};
  const { kind, key } = computation;
  if (kind === 'sum') return sumAggregations(name, key);
  const field = `keys.${key}`;
  // Milliseconds fit into a double.
  if (layout.keys[key]!.type === 'timestamp')
    return { [name]: kind === 'min' ? { min: { field } } : { max: { field } } };
  // Only documents that have a value: `sort` takes a missing long for the least or greatest one.
  const hit = { top_hits: { ...valuesOfHit([key], layout), sort: [{ [field]: kind === 'min' ? 'asc' : 'desc' }] } };
  return { [name]: { filter: { exists: { field } }, aggs: { hit } } } as Aggregations;
}

function rowOf(bucket: Bucket, { groupBy, compute }: Aggregation, layout: Layout): AggregationRow {
  return {
    group: groupBy.map(({ key }, place) => {
      const value = bucket.key![`g${place}`]!;
      if (value === null) return null;
      const { type } = layout.keys[key]!;
      if (type === 'long') return hitValue(bucket, 'hit', key, layout);
      return type === 'timestamp' ? new Date(value as number) : (value as string | boolean);
    }),
    computed: compute.map((computation, place) => {
      const name = `c${place}`;
      if (computation.kind === 'count') return BigInt(bucket.doc_count!);
      if (computation.kind === 'sum') return sumIn(bucket, name);
      const found = (bucket as Record<string, { value: number | null }>)[name]!;
      if (layout.keys[computation.key]!.type !== 'timestamp') return hitValue(found, 'hit', computation.key, layout);
      return found.value === null ? null : new Date(found.value);
    }),
  };
}

/** A key of the hit that a `top_hits` has found. */
function hitValue(bucket: object, name: string, key: string, layout: Layout): TypedKey {
  const { hits } = (bucket as Record<string, estypes.AggregationsTopHitsAggregate>)[name]!;
  const fields = hits.hits[0]?.fields as Record<string, string[]> | undefined;
  const value = fields?.[`keys.${key}`]?.[0];
  if (value === undefined) return null;
  return layout.keys[key]!.type === 'long' ? BigInt(value) : value;
}
