/** Tokens as texts, and the kinds of them: docs/search.md, From text to tokens. */

/** How much of a text is read, and kept: characters of a text, of a query and of a word; tokens of a text, and their bytes. */
export const bounds = { text: 10_000, query: 400, word: 64, tokens: 4_000, bytes: 65_536, forgivenWords: 32 } as const;

/** The kind of a token stands between the letter of its field and its text. */
export const kinds = { word: '=', stem: '+', error: '~', gram: '%', whole: '!' } as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/** The token of the text key in this place. */
export function token(place: number, kind: Kind, text: string): string {
  return `${String.fromCharCode(97 + place)}${kind}${text.slice(0, bounds.word).toWellFormed()}`;
}

const forgivenLetters = { least: 3, most: 20 } as const;
const kept = /[./]/;

/**
 * The word, and the word without one of its letters; none of words that are too short or too long. Words that share one
 * of these differ by a letter that is missing, added, wrong, swapped or moved. The sign of a number (`3.5`) is not
 * left out: 35 is no typing error.
 */
export function errorForms(word: string): string[] {
  const letters = [...word];
  if (letters.length < forgivenLetters.least || letters.length > forgivenLetters.most) return [];
  const shorter = letters.flatMap((letter, place) => (kept.test(letter) ? [] : [letters.toSpliced(place, 1).join('')]));
  return [...new Set([word, ...shorter])];
}

/** The words of a run of a script without spaces. */
export function segmentsOf(run: string): string[] {
  return Array.from(segmenter.segment(run), ({ segment }) => segment);
}

/** The locale is fixed: only the script decides which rules and dictionary are used. */
const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/** Letters with their marks. */
export function lettersOf(run: string): string[] {
  return run.match(/[\s\S]\p{M}*/gu) ?? [];
}

const han = /\p{Script=Han}/u;

/** The letters from `from` on that are compared as one. */
export interface Gram {
  text: string;
  /** The place of its first letter, and of the one after its last. */
  from: number;
  to: number;
  /** Whether the run ends before the gram is complete. */
  short: boolean;
}

/** From each letter on a few letters: two from a Han letter, three from those of scripts that have fewer letters. */
export function gramsOf(letters: string[]): Gram[] {
  return letters.map((letter, from) => {
    const size = han.test(letter) ? 2 : 3;
    const to = Math.min(from + size, letters.length);
    return { text: letters.slice(from, to).join(''), from, to, short: to < from + size };
  });
}
