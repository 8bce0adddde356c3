/** Conditions on the tokens of a document. Each store writes them in its own language. */
export type Match =
  /** The document has the token, or with `prefix` one that begins with it. */
  { token: string; prefix?: true } | { any: Match[] } | { all: Match[] };

/** A document that matches has the score. */
export interface Level {
  score: number;
  match: Match;
}

/** What a text asks of a document. */
export interface WordsQuery {
  /** For each word its levels, the best first: the first that matches counts, and one must. */
  words: Level[][];
  /** Levels of what more the document scores; none must match, and there may be none. */
  bonus: Level[];
}

/** Throws if there is none: the stores would each make something else of it. */
export function any(matches: Match[]): Match {
  checkSome(matches);
  return matches.length === 1 ? matches[0]! : { any: matches };
}

/** Throws if there is none. */
export function all(matches: Match[]): Match {
  checkSome(matches);
  return matches.length === 1 ? matches[0]! : { all: matches };
}

function checkSome(matches: Match[]): void {
  if (matches.length === 0) throw new Error('a condition of a search has no tokens');
}
