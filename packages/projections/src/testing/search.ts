/** What a search finds by the tokens alone: what every store must find too. */
import type { Analysis } from '../search/analysis.ts';
import type { Match } from '../search/match.ts';

/** Whether a document with these tokens matches. */
function matches(match: Match, tokens: ReadonlySet<string>): boolean {
  if ('any' in match) return match.any.some((one) => matches(one, tokens));
  if ('all' in match) return match.all.every((one) => matches(one, tokens));
  if (!match.prefix) return tokens.has(match.token);
  for (const token of tokens) if (token.startsWith(match.token)) return true;
  return false;
}

export interface Titled {
  id: string;
  title: string;
}

/** A search over titles in memory, as stores do it: the first call without forgiveness, the second if that finds none. */
export function searchTitles(analysis: Analysis, documents: Titled[]) {
  const known = documents.map(({ id, title }) => ({
    id,
    tokens: new Set(analysis.tokens([{ text: title, place: 0, short: true }])),
  }));
  const find = (text: string, forgiving: boolean) => {
    const query = analysis.query(text, { fields: [{ place: 0, weight: 1, short: true }], forgiving });
    if (!query) return [];
    const found = known.flatMap(({ id, tokens }) => {
      const levels = query.words.map((word) => word.find(({ match }) => matches(match, tokens)));
      if (levels.some((level) => level === undefined)) return [];
      const extra = query.bonus.find(({ match }) => matches(match, tokens));
      return [{ id, score: [...levels, ...(extra ? [extra] : [])].reduce((sum, level) => sum + level!.score, 0) }];
    });
    return found.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  };
  const answers = new Map<string, ReturnType<typeof find>>();
  return (text: string) => {
    const exact = answers.get(text) ?? find(text, false);
    const found = exact.length > 0 ? exact : find(text, true);
    answers.set(text, found);
    return found;
  };
}
