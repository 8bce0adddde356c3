/** The words of a place's name, cut and compared as those of products are: docs/search.md. */
import { plainAnalysis } from '@caudal/projections/search/analysis.ts';
import type { Match } from '@caudal/projections/search/match.ts';

/** A name has 200 characters, which rarely make more. */
const mostTokens = 256;
/** It is the only text here. Errors are not forgiven. */
const field = { place: 0, short: false };

/** What is stored of a name: tokens, one a line. Undefined if it has no word. */
export function wordsOf(name: string | undefined): string | undefined {
  if (!name) return undefined;
  const tokens = plainAnalysis.tokens([{ text: name, ...field }]).slice(0, mostTokens);
  return tokens.length > 0 ? tokens.join('\n') : undefined;
}

/** Whether stored words have all words of a text, or words that begin so. A text without a word finds nothing. */
export function openWords(text: string): (stored: string | null) => boolean {
  const query = plainAnalysis.query(text, { fields: [{ ...field, weight: 1 }], forgiving: false });
  if (!query) return () => false;
  return (stored) => {
    if (stored === null) return false;
    const tokens = stored.split('\n');
    return query.words.every((levels) => levels.some(({ match }) => holds(match, tokens)));
  };
}

function holds(match: Match, tokens: string[]): boolean {
  if ('any' in match) return match.any.some((one) => holds(one, tokens));
  if ('all' in match) return match.all.every((one) => holds(one, tokens));
  return match.prefix ? tokens.some((token) => token.startsWith(match.token)) : tokens.includes(match.token);
}
