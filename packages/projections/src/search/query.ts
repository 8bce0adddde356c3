/** What the words of a search ask of a document's tokens. */
import { chunksOf, type Part, unitsOf, wholeOf } from './cut.ts';
import { foldings, normalized } from './fold.ts';
import { bounds, errorForms, gramsOf, type Kind, kinds, lettersOf, segmentsOf, token } from './forms.ts';
import { all, any, type Level, type Match, type WordsQuery } from './match.ts';
import type { StemsOf } from './stems.ts';

/** A field to search in: its place among the text keys of a collection, and what a match in it counts. */
export interface SearchedField {
  place: number;
  weight: number;
  /** Only short texts have tokens of errors, and of the whole. */
  short: boolean;
}

/** What a level counts. Sums of quarters are exact in every store, as float or as double. */
const scores = { word: 1, stem: 0.75, beginning: 0.5, apart: 0.5, error: 0.25 } as const;

/** One letter begins too many words: it is a word, unless other words narrow the search and it may be unfinished. */
const leastBeginning = 2;

/** One word of a search: parts that are written together, or letters of a script without spaces. */
type Wanted = { parts: Part[] } | { segments: string[] };

interface Options {
  /** Typing errors are forgiven. */
  forgiving: boolean;
  stemsOf: StemsOf;
}

interface LevelOptions extends Options {
  /** The letters that a beginning has at least. */
  least: number;
}

/** Undefined if the text has no word. */
export function queryOf(text: string, options: Options & { fields: SearchedField[] }): WordsQuery | undefined {
  const { fields, forgiving } = options;
  const wanted: Wanted[] = [];
  const whole: string[] = [];
  for (const chunk of chunksOf(normalized(text.slice(0, bounds.query)).slice(0, bounds.query))) {
    if ('run' in chunk) {
      const segments = segmentsOf(chunk.run).flatMap((segment) => foldings(segment).slice(0, 1));
      // An error may make the segmenter cut elsewhere, so that the letters of a run are then compared as one word.
      if (forgiving && segments.length > 0) wanted.push({ segments });
      else wanted.push(...segments.map((segment) => ({ segments: [segment] })));
      whole.push(segments.join(''));
    } else {
      wanted.push(chunk);
      whole.push(...chunk.parts.map((part) => foldings(part.text)[0] ?? ''));
    }
  }
  const words = wanted.map((one, index) =>
    inFields(fields, ({ place, short }) => {
      const least = index > 0 && index === wanted.length - 1 ? 1 : leastBeginning;
      const how = { ...options, forgiving: forgiving && short, least };
      return 'parts' in one ? partLevels(one.parts, place, how) : runLevels(one.segments, place, how);
    }),
  );
  if (words.length === 0) return undefined;
  const equal = (place: number): Match => ({ token: token(place, kinds.whole, whole.join(' ')) });
  const bonus = inFields(fields, ({ place, short }) => (short ? [{ score: 1, match: equal(place) }] : []));
  return { words, bonus };
}

/** The levels in all fields, with the fields' weights, the best first. */
function inFields(fields: SearchedField[], levels: (field: SearchedField) => Level[]): Level[] {
  const byScore = new Map<number, Match[]>();
  for (const field of fields) {
    for (const { score, match } of levels(field)) {
      const weighted = score * field.weight;
      byScore.set(weighted, [...(byScore.get(weighted) ?? []), match]);
    }
  }
  return [...byScore].sort(([a], [b]) => b - a).map(([score, matches]) => ({ score, match: any(matches) }));
}

const exactly = (place: number, kind: Kind, words: string[]): Match[] =>
  [...new Set(words)].map((word) => ({ token: token(place, kind, word) }));
const beginning = (place: number, kind: Kind, words: string[]): Match[] =>
  [...new Set(words)].map((word) => ({ token: token(place, kind, word), prefix: true }));

/** The levels that have an alternative. */
function levelsOf(levels: [score: number, alternatives: Match[]][]): Level[] {
  return levels.flatMap(([score, alternatives]) =>
    alternatives.length > 0 ? [{ score, match: any(alternatives) }] : [],
  );
}

/** Words with the stem: as such, or because a word is its own stem. */
const withStems = (place: number, stems: string[]): Match[] => [
  ...exactly(place, kinds.stem, stems),
  ...exactly(place, kinds.word, stems),
];

/** A chunk with its parts: `nor.0707-60`. */
function partLevels(parts: Part[], place: number, { forgiving, stemsOf, least }: LevelOptions): Level[] {
  const { units, neighbours } = unitsOf(parts);
  const written = wholeOf(parts).flatMap(foldings);
  const last = units.length - 1;
  const begins = (word: string) => [...word].length >= least;
  /** Each unit beside the next one: a document may have more around and between them. */
  const beside = () =>
    neighbours.map((texts, index) => {
      const words = texts.flatMap(foldings);
      return any(index === last - 1 ? beginning(place, kinds.word, words) : exactly(place, kinds.word, words));
    });
  return levelsOf([
    [scores.word, exactly(place, kinds.word, written)],
    [scores.stem, units.length === 1 ? withStems(place, stemsOf(parts[0]!)) : []],
    [scores.beginning, beginning(place, kinds.word, written.filter(begins))],
    [scores.apart, [...(units.length > 2 ? [all(beside())] : []), ...withoutEnding(parts, place, stemsOf)]],
    [scores.error, forgiving ? partsWithErrors(parts, place, { stemsOf, begins }) : []],
  ]);
}

const longestEnding = 4;
const leastBeforeEnding = 3;

/**
 * What stands before an apostrophe with the ending of a case behind it: `istanbul'un`, `ada's`. Not `d'or` or `o'neil`, whose
 * first part says little.
 */
function withoutEnding(parts: Part[], place: number, stemsOf: StemsOf): Match[] {
  const [ending, rest] = [parts.at(-1)!, parts.slice(0, -1)];
  const isEnding = ending.before === "'" && ending.kind === 'letters' && ending.text.length <= longestEnding;
  if (!isEnding) return [];
  const written = wholeOf(rest).flatMap(foldings);
  if (written.every((word) => [...word].length < leastBeforeEnding)) return [];
  return [
    ...exactly(place, kinds.word, written),
    ...(rest.length === 1 ? exactly(place, kinds.stem, stemsOf(rest[0]!)) : []),
  ];
}

/**
 * A chunk with an error in its letters. Its digits stand as they are, those that are neighbours in their order: another
 * number is another article.
 */
function partsWithErrors(
  parts: Part[],
  place: number,
  { stemsOf, begins }: Pick<Options, 'stemsOf'> & { begins(word: string): boolean },
): Match[] {
  const { units, neighbours } = unitsOf(parts);
  const isDigits = (index: number) => units[index]?.kind === 'digits';
  const digits = units.flatMap(({ texts }, index): Match[] => {
    if (!isDigits(index) || (isDigits(index - 1) && !isDigits(index + 1))) return [];
    const written = isDigits(index + 1) ? neighbours[index]! : texts;
    return [any(exactly(place, kinds.word, written))];
  });
  const letters = units.flatMap(({ texts, kind }, index): Match[] => {
    if (isDigits(index)) return [];
    const words = texts.flatMap(foldings);
    const stems = texts.flatMap((text) => stemsOf({ text, kind }));
    return [
      any([
        ...exactly(place, kinds.word, words),
        ...withStems(place, stems),
        ...(index === units.length - 1 ? beginning(place, kinds.word, words.filter(begins)) : []),
        ...exactly(place, kinds.error, words.flatMap(errorForms)),
      ]),
    ];
  });
  if (letters.length === 0) return [];
  const together = exactly(place, kinds.error, wholeOf(parts).flatMap(foldings).flatMap(errorForms));
  return [
    ...(together.length > 0 ? [all([any(together), ...digits])] : []),
    ...(units.length > 1 ? [all([...letters, ...digits])] : []),
  ];
}

/** Words of a script without spaces, or all words of a run, whose letters are then compared as one. */
function runLevels(segments: string[], place: number, { forgiving }: Options): Level[] {
  const single = segments.length === 1 ? segments : [];
  return levelsOf([
    [scores.word, exactly(place, kinds.word, single)],
    [scores.beginning, beginning(place, kinds.word, single)],
    [scores.apart, [all(segments.map((segment) => contains(segment, place)))]],
    [scores.error, forgiving ? withErrors(segments.join(''), place) : []],
  ]);
}

/** The letters stand together somewhere in a run of the document. */
function contains(segment: string, place: number): Match {
  const grams = gramsOf(lettersOf(segment));
  const complete = grams.filter(({ short }) => !short);
  // Grams differ in length, so the last letters may be in none that is complete.
  const isCovered = Math.max(0, ...complete.map(({ to }) => to)) === grams.length;
  const rest = isCovered ? [] : grams.filter(({ short }) => short).slice(0, 1);
  return all([
    ...exactly(
      place,
      kinds.gram,
      complete.filter(({ to }) => to < grams.length).map(({ text }) => text),
    ),
    // The last letter may still lack its marks.
    ...beginning(
      place,
      kinds.gram,
      [...complete.filter(({ to }) => to === grams.length), ...rest].map(({ text }) => text),
    ),
  ]);
}

const pieceLength = 8;

/** In each piece of some 8 letters one letter may be missing, added or wrong, or two be swapped. None if too short. */
function withErrors(run: string, place: number): Match[] {
  const letters = lettersOf(run);
  const count = Math.max(1, Math.round(letters.length / pieceLength));
  const bound = (index: number) => Math.ceil((index * letters.length) / count);
  const pieces = Array.from({ length: count }, (_, index) => letters.slice(bound(index), bound(index + 1)));
  const sets = pieces.map(gramSets);
  if (sets.some((alternatives) => alternatives.length === 0)) return [];
  return [all(sets.map((alternatives) => any(alternatives.map((grams) => all(exactly(place, kinds.gram, grams))))))];
}

/** For each letter the grams that it does not touch: with one error, the grams of some set are all there. */
function gramSets(letters: string[]): string[][] {
  const grams = gramsOf(letters).filter(({ short }) => !short);
  // Two swapped letters touch one gram more. Of few letters that would leave nothing to compare.
  const wrongLetters = letters.length >= 6 ? 2 : 1;
  return letters
    .map((_, wrong) =>
      grams.filter(({ from, to }) => from >= wrong + wrongLetters || to <= wrong).map(({ text }) => text),
    )
    .filter((left) => left.length > 0);
}
