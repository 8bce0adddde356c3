/** The tokens of a document. */
import { chunksOf, rowsAcross, rowsOf } from './cut.ts';
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

/** The tokens of a text, each once. */
export function tokensOf({ text, place, short }: TextToCut, stemsOf: StemsOf): string[] {
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
  const forgive = (word: string) => {
    if (forgiven.has(word) || forgiven.size >= bounds.forgivenWords) return;
    const forms = errorForms(word);
    if (forms.length > 0) forgiven.add(word);
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
    for (const { texts, isWord } of rowsOf(chunk.parts)) {
      for (const word of texts.flatMap(foldings)) {
        add(kinds.word, word);
        if (short && isWord) forgive(word);
      }
    }
    for (const part of chunk.parts) {
      for (const stem of stemsOf(part)) add(kinds.stem, stem);
      whole.push(foldings(part.text)[0] ?? '');
    }
  }
  if (short) {
    for (const row of rowsAcross(chunks)) for (const word of foldings(row)) add(kinds.word, word);
    add(kinds.whole, whole.join(' '));
  }
  return [...tokens];
}
