/** Full text in Elasticsearch: a keyword field of tokens, and conditions on them. See docs/search.md. */
import type { estypes } from '@elastic/elasticsearch';
import type { Level, Match, WordsQuery } from '../search/match.ts';
import { conditionsQuery, findAfter, sortOf } from './elasticsearch-query.ts';
import { facetOf, facetSize } from './full-text.ts';
import type { FullTextFind, FullTextFound } from './store.ts';

type Query = estypes.QueryDslQueryContainer;

/** No key is named so. */
const total = '-total';

/** The request of a search. `words`: undefined if it has no text. */
export function searchRequest(find: FullTextFind, words: WordsQuery | undefined): estypes.SearchRequest {
  const { where, facets, orderBy, after, limit } = find;
  const query: Query = {
    bool: {
      filter: conditionsQuery(where),
      must_not: { term: { deleted: true } },
      ...(words && { must: words.words.map(firstLevel) }),
      ...(words && words.bonus.length > 0 && { should: firstLevel(words.bonus) }),
    },
  };
  const counts = facets.map((facet): [string, estypes.AggregationsAggregationContainer] => [
    facet,
    { terms: { field: `keys.${facet}`, size: facetSize + 1, order: [{ _count: 'desc' }, { _key: 'asc' }] } },
  ]);
  // What is after the page's place is filtered last, so that aggregations count all hits.
  const aggs = Object.fromEntries([...counts, [total, { filter: { match_all: {} } }]]);
  if (orderBy.length > 0)
    return {
      query,
      sort: sortOf(orderBy),
      size: limit,
      aggs,
      ...(after && { post_filter: findAfter({ orderBy, after }) }),
    };
  return {
    query,
    sort: [{ _score: { order: 'desc' } }, { id: { order: 'asc' } }],
    size: limit,
    aggs,
    ...(after && { search_after: [after.score, after.id] }),
  };
}

/** The total and the facets of a search. */
export function countsOf(
  { facets }: FullTextFind,
  aggregations: Record<string, estypes.AggregationsAggregate>,
): Pick<FullTextFound, 'total' | 'facets'> {
  const values = (facet: string) => {
    const { buckets } = aggregations[facet] as estypes.AggregationsStringTermsAggregate;
    return (buckets as estypes.AggregationsStringTermsBucket[]).map((bucket) => ({
      value: String(bucket.key),
      count: bucket.doc_count,
    }));
  };
  return {
    total: (aggregations[total] as estypes.AggregationsFilterAggregate).doc_count,
    facets: Object.fromEntries(facets.map((facet) => [facet, facetOf(values(facet))])),
  };
}

/** The score of the best level that matches. */
function firstLevel(levels: Level[]): Query {
  return { dis_max: { queries: levels.map(constant) } };
}

function constant({ score, match }: Level): Query {
  return { constant_score: { filter: tokensQuery(match), boost: score } };
}

function tokensQuery(match: Match): Query {
  if ('token' in match)
    return match.prefix ? { prefix: { words: { value: match.token } } } : { term: { words: { value: match.token } } };
  if ('all' in match) return { bool: { filter: match.all.map(tokensQuery) } };
  // All tokens of an alternative are one clause.
  const tokens = match.any.flatMap((one) => ('token' in one && !one.prefix ? [one.token] : []));
  const others = match.any.filter((one) => !('token' in one) || one.prefix).map(tokensQuery);
  const should: Query[] = [...(tokens.length > 0 ? [{ terms: { words: tokens } }] : []), ...others];
  return should.length === 1 ? should[0]! : { bool: { should, minimum_should_match: 1 } };
}
