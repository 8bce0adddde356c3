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
  /** Levels of what more the document scores; none must match. */
  bonus: Level[];
}

export function any(matches: Match[]): Match {
  return matches.length === 1 ? matches[0]! : { any: matches };
}

export function all(matches: Match[]): Match {
  return matches.length === 1 ? matches[0]! : { all: matches };
}
