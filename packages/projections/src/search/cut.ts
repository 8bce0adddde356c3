/**
 * Cuts a normalized text into chunks (`nor.0707-60`), and these into parts (`nor`, `0707`, `60`). See docs/search.md,
 * From text to tokens.
 */

/** A run of letters or of digits. */
export interface Part {
  text: string;
  kind: 'letters' | 'digits';
  /** What stands between it and the part before: nothing, or one connecting sign. */
  before: string;
}

/** What spaces or brackets separate: parts, or a run of letters of a script without spaces. */
export type Chunk =
  | {
      parts: Part[];
      /** Whether just a space is between it and the chunk before. */
      spaced: boolean;
    }
  | { run: string };

// Scripts whose words are not separated. The long vowel of kana belongs to several scripts, as some punctuation does.
const unspaced =
  '\\p{Script=Han}\\p{scx=Hiragana}\\p{scx=Katakana}\\p{Script=Bopomofo}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}\\p{Script=Tai_Tham}';
const letter = '\\p{L}\\p{Nl}\\p{No}';
const connecting = '\\p{Pd}\\p{Pc}./\\\\,:\'"·&+@#\u05f3\u05f4';
/** A mark that follows no letter counts as a sign; `+` and `#` at the end belong to the word: c++. */
const piece = new RegExp(
  `(?<run>(?=[${letter}])[${unspaced}](?:(?=[${letter}])[${unspaced}]|\\p{M})*)|(?<letters>(?![${unspaced}])[${letter}](?:(?![${unspaced}])[${letter}]|\\p{M})*(?:(?:\\+\\+?|#)(?![${letter}0-9]))?)|(?<digits>[0-9]+)|(?<sign>[${connecting}\\p{M}])|(?<gap>[^])`,
  'gu',
);

/** The chunks of a normalized text, in their order. */
export function* chunksOf(text: string): Generator<Chunk> {
  let parts: Part[] = [];
  let before = '';
  let spaced = false;
  for (const { groups } of text.matchAll(piece)) {
    const { run, letters, digits, sign, gap } = groups as Record<string, string | undefined>;
    if (letters !== undefined || digits !== undefined) {
      parts.push({ text: (letters ?? digits)!, kind: letters === undefined ? 'digits' : 'letters', before });
      before = '';
      continue;
    }
    // One sign connects two parts; more than one separates them.
    if (sign !== undefined && parts.length > 0 && before === '') {
      before = sign;
      continue;
    }
    if (parts.length > 0) yield { parts, spaced };
    spaced = parts.length > 0 && before === '' && gap === ' ';
    parts = [];
    before = '';
    if (run !== undefined) yield { run };
  }
  if (parts.length > 0) yield { parts, spaced };
}

/** The signs that make one number of groups of digits, each as it is written in tokens. */
const numberSigns: Record<string, string> = { '.': '.', ',': '.', '/': '/' };

interface Joint {
  /** Between a part and the one before: the sign of a number, or nothing. */
  sign: string;
  /** The sign may be left out: in `12.345.678` and `10,000`, not in `3.5`. */
  loose: boolean;
}

function jointsOf(parts: Part[]): Joint[] {
  const signs = parts.map(({ kind, before }, place) =>
    kind === 'digits' && parts[place - 1]?.kind === 'digits' ? (numberSigns[before] ?? '') : '',
  );
  return signs.map((sign, place) => {
    if (sign === '') return { sign, loose: false };
    const several = (signs[place - 1] ?? '') !== '' || (signs[place + 1] ?? '') !== '';
    const [left, right] = [parts[place - 1]!.text.length, parts[place]!.text.length];
    return { sign, loose: several || (sign === '.' && (right === 3 || Math.max(left, right) > 3)) };
  });
}

/** The parts from `first` to `last`, written together in each way that people write them. */
function together(parts: Part[], joints: Joint[], first: number, last: number): string[] {
  const write = (signOf: (joint: Joint) => string) =>
    parts
      .slice(first, last + 1)
      .map(({ text }, place) => (place === 0 ? text : signOf(joints[first + place]!) + text))
      .join('');
  return [...new Set([write(({ sign }) => sign), write(({ sign, loose }) => (loose ? '' : sign))])];
}

/** The longest chunk of which every row of parts is written together; of a longer one, the most neighbours. */
const mostParts = 8;
const mostNeighbours = 4;

export interface Row {
  texts: string[];
  isWhole: boolean;
}

/** The rows of two or more neighbouring parts, and the whole chunk. */
export function rowsOf(parts: Part[]): Row[] {
  if (parts.length === 1) return [];
  const joints = jointsOf(parts);
  const longest = parts.length > mostParts ? mostNeighbours : parts.length;
  const rows: Row[] = [];
  for (let first = 0; first < parts.length; first++) {
    for (let last = first + 1; last < Math.min(parts.length, first + longest); last++)
      rows.push({ texts: together(parts, joints, first, last), isWhole: last - first + 1 === parts.length });
  }
  if (longest < parts.length) rows.push({ texts: wholeOf(parts), isWhole: true });
  return rows;
}

/** All parts, written together. */
export function wholeOf(parts: Part[]): string[] {
  return together(parts, jointsOf(parts), 0, parts.length - 1);
}

/** A part, or all groups of a number, in each way that it is written. */
export interface Unit {
  texts: string[];
  kind: Part['kind'];
}

/** The units of a chunk, and each two neighbouring ones written together. */
export function unitsOf(parts: Part[]): { units: Unit[]; neighbours: string[][] } {
  const joints = jointsOf(parts);
  const starts = parts.flatMap((_, place) => (joints[place]!.sign === '' ? [place] : []));
  const endOf = (index: number) => (starts[index + 1] ?? parts.length) - 1;
  return {
    units: starts.map((first, index) => ({
      texts: together(parts, joints, first, endOf(index)),
      kind: parts[first]!.kind,
    })),
    neighbours: starts.slice(1).map((_, index) => together(parts, joints, starts[index]!, endOf(index + 1))),
  };
}

const shortPart = 3;

/**
 * Rows of neighbouring parts of a text across single spaces, for people who leave these out: `wd40` for `WD 40`. Only
 * where a part beside the space has a digit or few letters, so that other words stay apart.
 */
export function rowsAcross(chunks: Chunk[]): string[] {
  const rows: string[] = [];
  const short = ({ kind, text }: Part) => kind === 'digits' || text.length <= shortPart;
  for (let first = 0; first < chunks.length; first++) {
    let text = '';
    let before: Part | undefined;
    for (const chunk of chunks.slice(first, first + mostNeighbours)) {
      if ('run' in chunk) break;
      const begins = chunk.parts[0]!;
      if (before && !(chunk.spaced && (short(before) || short(begins)))) break;
      text += wholeOf(chunk.parts).at(-1)!;
      if (before) rows.push(text);
      before = chunk.parts.at(-1)!;
    }
  }
  return rows;
}
