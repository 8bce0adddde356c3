/**
 * How texts are searched: the tokens of a document, and what a search asks of them. The stores keep and compare the
 * tokens as they are, so that all of them find the same. See docs/search.md.
 */
import { contentHash } from '@caudal/kernel/ids.ts';
import type { WordsQuery } from './match.ts';
import { queryOf, type SearchedField } from './query.ts';
import { loadStems, noStems, type StemsOf } from './stems.ts';
import { type TextToCut, tokensOf, wordForms } from './tokens.ts';

export interface Analysis {
  /** Differs between analyses that make other tokens: a generation must not be built by two of them. */
  readonly fingerprint: string;
  /** The tokens of a document. */
  tokens(texts: TextToCut[]): string[];
  /** What a search asks of a document. Undefined if the text has no word. `forgiving`: typing errors are forgiven. */
  query(text: string, options: { fields: SearchedField[]; forgiving: boolean }): WordsQuery | undefined;
}

/** Raise it when other tokens are made of a text, and with it the versions of the projections with text keys. */
const edition = 1;

/** Knows no language: words are found as they are written, and by their beginnings. */
export const plainAnalysis: Analysis = analysisWith(noStems, []);

/** Also finds other forms of the words of these languages (`stems.ts`). Throws if one is not known. */
export async function openAnalysis(languages: readonly string[]): Promise<Analysis> {
  return analysisWith(await loadStems(languages), languages);
}

function analysisWith(stemsOf: StemsOf, languages: readonly string[]): Analysis {
  const formsOf = wordForms(stemsOf);
  const { unicode, icu } = process.versions;
  const settings = JSON.stringify([edition, unicode, icu, [...languages].sort()]);
  return {
    fingerprint: contentHash(Buffer.from(settings)).toString('hex'),
    tokens: (texts) => texts.flatMap((text) => tokensOf(text, formsOf)),
    query: (text, options) => queryOf(text, { ...options, stemsOf }),
  };
}
