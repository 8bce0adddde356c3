/** The stems of words (`lantern` for `lanterns`), by the Snowball algorithm of each language. */

import type { Part } from './cut.ts';
import { foldings } from './fold.ts';
import { bounds } from './forms.ts';

/** The part of a word, in lower case, that all its forms share. */
type Stem = (word: string) => string;

interface Stemmer {
  /** What its words are written with. */
  script: RegExp;
  load(): Promise<{ stemmer: Stem }>;
}

const latin = /\p{Script=Latin}/u;
const cyrillic = /\p{Script=Cyrillic}/u;

/** By code of ISO 639-1. Loaded when a process is to use it. */
const stemmers = {
  ar: { script: /\p{Script=Arabic}/u, load: () => import('@orama/stemmers/arabic') },
  bg: { script: cyrillic, load: () => import('@orama/stemmers/bulgarian') },
  da: { script: latin, load: () => import('@orama/stemmers/danish') },
  de: { script: latin, load: () => import('@orama/stemmers/german') },
  el: { script: /\p{Script=Greek}/u, load: () => import('@orama/stemmers/greek') },
  en: { script: latin, load: () => import('@orama/stemmers/english') },
  es: { script: latin, load: () => import('@orama/stemmers/spanish') },
  fi: { script: latin, load: () => import('@orama/stemmers/finnish') },
  fr: { script: latin, load: () => import('@orama/stemmers/french') },
  hu: { script: latin, load: () => import('@orama/stemmers/hungarian') },
  id: { script: latin, load: () => import('@orama/stemmers/indonesian') },
  it: { script: latin, load: () => import('@orama/stemmers/italian') },
  lt: { script: latin, load: () => import('@orama/stemmers/lithuanian') },
  nl: { script: latin, load: () => import('@orama/stemmers/dutch') },
  no: { script: latin, load: () => import('@orama/stemmers/norwegian') },
  pt: { script: latin, load: () => import('@orama/stemmers/portuguese') },
  ro: { script: latin, load: () => import('@orama/stemmers/romanian') },
  ru: { script: cyrillic, load: () => import('@orama/stemmers/russian') },
  sv: { script: latin, load: () => import('@orama/stemmers/swedish') },
  tr: { script: latin, load: () => import('@orama/stemmers/turkish') },
} satisfies Record<string, Stemmer>;

/** The codes of the languages whose stems can be found. */
export const languages = Object.keys(stemmers);

/** The stems of a part of a text, as tokens have them. */
export type StemsOf = (part: Pick<Part, 'text' | 'kind'>) => string[];

export const noStems: StemsOf = () => [];

/** The stems of these languages: of each that is written in the word's script. Throws if a language is not known. */
export async function loadStems(codes: readonly string[]): Promise<StemsOf> {
  const loaded = await Promise.all(
    codes.map(async (code) => {
      const known: Stemmer | undefined = stemmers[code as keyof typeof stemmers];
      if (!known) throw new Error(`"${code}" has no stems: use some of ${languages.join(', ')}`);
      return { script: known.script, stem: (await known.load()).stemmer };
    }),
  );
  return ({ text, kind }) => {
    if (kind === 'digits' || text.length > bounds.word) return [];
    // People leave out accents, which the algorithms expect.
    const forms = new Set([text, ...foldings(text)]);
    const stems = loaded.filter(({ script }) => script.test(text)).flatMap(({ stem }) => [...forms].map(stem));
    return [...new Set(stems.flatMap(foldings))].filter((stem) => stem !== '');
  };
}
