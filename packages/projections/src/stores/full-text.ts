/** What the searches of all stores have in common. */
import type { Analysis } from '../search/analysis.ts';
import type { WordsQuery } from '../search/match.ts';
import type { Facet } from '../types.ts';
import type { FullTextFind, FullTextFound, Layout, Write } from './store.ts';

/** The most values of a facet. */
export const facetSize = 100;

/** The values of all hits, as a facet if one more than `facetSize` was asked for. */
export function facetOf(values: Facet['values']): Facet {
  return { values: values.slice(0, facetSize), more: values.length > facetSize };
}

/** The text keys of a collection, in the order of their names: a token begins with its key's place. */
export function textKeysOf({ keys }: Layout): string[] {
  return Object.keys(keys)
    .filter((key) => keys[key]!.type === 'text')
    .sort();
}

/** The other keys, which the stores keep as they are. Of text keys they keep only the tokens, all in one place. */
export function plainKeysOf({ keys }: Layout): string[] {
  return Object.keys(keys).filter((key) => keys[key]!.type !== 'text');
}

/** The tokens of a view's text keys. */
export function tokensOf({ keys }: Write, layout: Layout, analysis: Analysis): string[] {
  return analysis.tokens(
    textKeysOf(layout).flatMap((key, place) => {
      const text = keys[key];
      return typeof text === 'string' ? [{ text, place, short: layout.keys[key]!.short === true }] : [];
    }),
  );
}

/** What a search asks for; `nothing` if its text has no word, undefined if it has no text. */
export function wordsQuery(
  { text, fields, forgiving }: FullTextFind,
  { layout, analysis }: { layout: Layout; analysis: Analysis },
): WordsQuery | 'nothing' | undefined {
  if (text === '') return undefined;
  const places = textKeysOf(layout);
  const searched = Object.entries(fields).map(([key, weight]) => ({
    place: places.indexOf(key),
    weight,
    short: layout.keys[key]!.short === true,
  }));
  return analysis.query(text, { fields: searched, forgiving }) ?? 'nothing';
}

/** The answer to a search for nothing. */
export function foundNothing({ facets }: FullTextFind): FullTextFound {
  return { hits: [], total: 0, facets: Object.fromEntries(facets.map((facet) => [facet, facetOf([])])) };
}
