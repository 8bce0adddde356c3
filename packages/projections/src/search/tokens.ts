/** The tokens of a document. */
import { chunksOf, type Part, rowsAcross, rowsOf } from './cut.ts';
import { foldings, normalized } from './fold.ts';
import { bounds, errorForms, gramsOf, type Kind, kinds, lettersOf, segmentsOf, token } from './forms.ts';
import type { StemsOf } from './stems.ts';

export interface TextToCut {
  text: string;
  /** The place of its key among the text keys. */
  place: number;
  /** A title or a number: typing errors and left out spaces are forgiven. */
  short: boolean;
}

/** A word, or a number, in each way that it is written, with what it has beside. */
export interface WordForms {
  words: string[];
  stems: string[];
  /** Of short texts: each word's forms with an error. */
  errors: string[][];
}

/** Texts repeat their words: the forms of so many are remembered. */
const mostKnown = 10_000;

/** The forms of a single part. */
export function wordForms(stemsOf: StemsOf): (part: Part) => WordForms {
  let known = new Map<string, WordForms>();
  return (part) => {
    const found = known.get(part.text);
    if (found) return found;
    const words = foldings(part.text);
    // A stem that is a word of the text is found as that.
    const stems = stemsOf(part).filter((stem) => !words.includes(stem));
    const forms = { words, stems, errors: words.map(errorForms) };
    if (known.size >= mostKnown) known = new Map();
    if (part.text.length <= bounds.word) known.set(part.text, forms);
    return forms;
  };
}

/** The tokens of a text, each once. */
export function tokensOf({ text, place, short }: TextToCut, formsOf: (part: Part) => WordForms): string[] {
  const tokens = new Set<string>();
  const forgiven = new Set<string>();
  const whole: string[] = [];
  let bytes = 0;
  const isFull = () => tokens.size >= bounds.tokens || bytes >= bounds.bytes;
  const add = (kind: Kind, word: string) => {
    const made = token(place, kind, word);
    if (word === '' || isFull() || tokens.has(made)) return;
    bytes += Buffer.byteLength(made);
    tokens.add(made);
  };
  const forgive = (word: string, forms: string[]) => {
    if (forms.length === 0 || forgiven.has(word) || forgiven.size >= bounds.forgivenWords) return;
    forgiven.add(word);
    for (const form of forms) add(kinds.error, form);
  };

  const chunks = [...chunksOf(normalized(text.slice(0, bounds.text)).slice(0, bounds.text))];
  for (const chunk of chunks) {
    if (isFull()) break;
    if ('run' in chunk) {
      for (const segment of segmentsOf(chunk.run)) add(kinds.word, foldings(segment)[0] ?? '');
      const letters = lettersOf(foldings(chunk.run)[0] ?? '');
      for (const gram of gramsOf(letters)) add(kinds.gram, gram.text);
      whole.push(letters.join(''));
      continue;
    }
    for (const part of chunk.parts) {
      const { words, stems, errors } = formsOf(part);
      words.forEach((word, place) => {
        add(kinds.word, word);
        if (short) forgive(word, errors[place]!);
      });
      for (const stem of stems) add(kinds.stem, stem);
      whole.push(words[0] ?? '');
    }
    for (const { texts, isWhole } of rowsOf(chunk.parts)) {
      for (const word of texts.flatMap(foldings)) {
        add(kinds.word, word);
        if (short && isWhole) forgive(word, errorForms(word));
      }
    }
  }
  if (short) {
    for (const row of rowsAcross(chunks)) for (const word of foldings(row)) add(kinds.word, word);
    add(kinds.whole, whole.join(' '));
  }
  return [...tokens];
}
