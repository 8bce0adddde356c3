/**
 * Measures the bytes of a JSON document before they are converted: depth, items, lengths, digits and keys, by the bounds of the
 * message that it is to be. It stops at the first excess, so it never costs more than one pass over what is read.
 *
 * It follows JSON's grammar as far as needed to find values and keys, and refuses what it can't follow. JSON.parse then checks
 * the rest. Of a text that JSON.parse accepts both see the same values.
 */
import { CaudalError, type FieldViolation } from '@caudal/kernel/errors.ts';
import {
  type FieldBounds,
  isTextInJson,
  maxDepth,
  maxItems,
  maxMaskCharacters,
  maxPaths,
  maxValues,
  overBound,
  overRule,
  overText,
  pathOf,
  type Steps,
  type TypeBounds,
} from '../schema/bounds.ts';
import { invalidRequest, maxViolations } from '../schema/validation.ts';

/** The most bytes of one character: `\ud83d\ude00`. */
const bytesACharacter = 12;
/** Of a number, and of the text of a number, a time or an enum. With escapes, the latter takes six bytes a character. */
const maxDigits = 64;
const maxShortText = 400;
/** In all. Indented, the largest request has a tenth of it. */
const maxBlanks = 1024 * 1024;
const maxKeyBytes = 200 * bytesACharacter;

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const OPEN_LIST = 91;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

const isBlank = (byte: number | undefined) => byte === 32 || byte === 10 || byte === 13 || byte === 9;

export const noDocument = (): CaudalError =>
  new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'The body is not a JSON document.');

/**
 * Throws INVALID_ARGUMENT, which names the first field that is too much, or the key that an object has twice. `maxText`: the most
 * bytes of a text without a rule.
 */
export function scanJson(type: TypeBounds, bytes: Buffer, maxText: number): void {
  const end = bytes.length;
  const steps: Steps = [];
  const unknown: FieldViolation[] = [];
  let at = 0;
  let values = 0;
  let depth = 0;
  let blanks = 0;

  const skipBlanks = () => {
    for (; isBlank(bytes[at]) && blanks <= maxBlanks; at++) blanks++;
    if (blanks > maxBlanks) throw overBound([], `has more than ${maxBlanks} blanks between its values`);
  };

  /** Passes a text that begins here. `most`: its bytes between the quotes; above that, `excess` is thrown. */
  const passText = (most: number, excess: () => CaudalError) => {
    const begin = ++at;
    const stop = Math.min(end, begin + most + 1);
    while (at < stop) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        at++;
        return;
      }
      at += byte === BACKSLASH ? 2 : 1;
    }
    throw stop < end ? excess() : noDocument();
  };

  /** A number, true, false or null. Nothing is checked but its length. */
  const passWord = () => {
    const begin = at;
    for (let byte = bytes[at]; at < end; byte = bytes[++at]) {
      if (byte === COMMA || byte === CLOSE_LIST || byte === CLOSE_OBJECT || isBlank(byte)) break;
      if (at - begin >= maxDigits) throw overBound(steps, `must be a number of at most ${maxDigits} characters`);
    }
    if (at === begin) throw noDocument();
  };

  const enter = () => {
    at++;
    if (++depth > maxDepth) throw overBound(steps, `is nested more than ${maxDepth} levels deep`);
  };

  /** Whether a further item or key follows here; passes the comma or the end. */
  const goesOn = (isFirst: boolean, close: number): boolean => {
    skipBlanks();
    if (bytes[at] === close) {
      at++;
      depth--;
      return false;
    }
    if (isFirst) return true;
    if (bytes[at] !== COMMA) throw noDocument();
    at++;
    skipBlanks();
    return true;
  };

  /** Passes the value that begins here. `of`: its field, if it has one; `isItem`: it is one of several. */
  const passValue = (of: FieldBounds | undefined, isItem: boolean): void => {
    skipBlanks();
    if (++values > maxValues)
      throw overBound(steps, `comes after ${maxValues} other values, more than any request has`);
    const byte = bytes[at];
    if (byte === QUOTE) passTextOf(of);
    else if (byte === OPEN_OBJECT) passObject(of, isItem);
    else if (byte === OPEN_LIST) passList(isItem || of?.isMap ? undefined : of);
    else passWord();
  };

  const passTextOf = (of: FieldBounds | undefined) => {
    if (!of) passText(maxText, () => overText(steps, maxText));
    else if (of.kind === 'text')
      passText(of.characters === undefined ? maxText : of.characters * bytesACharacter, () =>
        of.characters === undefined ? overText(steps, maxText) : overRule(steps, of),
      );
    else {
      const isMask = of.field.message?.typeName === 'google.protobuf.FieldMask';
      const most = isMask ? maxMaskCharacters * bytesACharacter : maxShortText;
      const begin = at;
      passText(most, () => overBound(steps, 'is longer than any value that it can have'));
      if (isMask && countOf(COMMA, begin, at) >= maxPaths)
        throw overBound(steps, `must have at most ${maxPaths} paths`);
    }
  };

  const countOf = (byte: number, from: number, to: number): number => {
    let count = 0;
    for (let place = from; place < to; place++) if (bytes[place] === byte) count++;
    return count;
  };

  const passList = (of: FieldBounds | undefined) => {
    enter();
    const most = of?.items ?? maxItems;
    let count = 0;
    for (; goesOn(count === 0, CLOSE_LIST); count++) {
      if (count >= most) throw of?.items ? overRule(steps, of) : overBound(steps, `has more than ${most} items`);
      steps.push(count);
      passValue(of, true);
      steps.pop();
    }
  };

  const passObject = (of: FieldBounds | undefined, isItem: boolean) => {
    if (of?.isMap && !isItem) passMap(of);
    else passMessage(of && !isTextInJson(of) ? of.type : undefined);
  };

  const passMap = (of: FieldBounds) => {
    enter();
    const keys = new Set<string>();
    while (goesOn(keys.size === 0, CLOSE_OBJECT)) {
      if (keys.size >= of.items!) throw overRule(steps, of);
      steps.push(passKey(keys, maxText));
      passValue(of, true);
      steps.pop();
    }
  };

  /** The fields of a message; of something unknown, any keys. */
  const passMessage = (within: TypeBounds | undefined) => {
    enter();
    const keys = new Set<string>();
    while (goesOn(keys.size === 0, CLOSE_OBJECT)) {
      const key = passKey(keys, maxKeyBytes);
      const of = within?.byName.get(key);
      steps.push(of?.name ?? key);
      if (within && !of) {
        unknown.push({ field: pathOf(steps), description: `is not a field of ${within.name}` });
        if (unknown.length > maxViolations) throw invalidRequest(unknown, 'MALFORMED_REQUEST');
      } else if (!within && keys.size > maxItems) throw overBound(steps, `has more than ${maxItems} keys`);
      passValue(of, false);
      steps.pop();
    }
  };

  /** Passes a key and its colon. */
  const passKey = (keys: Set<string>, most: number): string => {
    if (bytes[at] !== QUOTE) throw noDocument();
    const begin = at;
    passText(most, () => overBound(steps, 'has a key that is longer than any field has'));
    const key = keyOf(bytes.subarray(begin, at));
    if (keys.has(key)) {
      const message = `The body has the key ${JSON.stringify(key.slice(0, 100))} twice in one object.`;
      throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);
    }
    keys.add(key);
    skipBlanks();
    if (bytes[at] !== COLON) throw noDocument();
    at++;
    return key;
  };

  passRoot();
  skipBlanks();
  if (at < end) throw noDocument();

  function passRoot() {
    skipBlanks();
    values++;
    if (bytes[at] === OPEN_OBJECT) passMessage(type);
    else passValue(undefined, false);
  }
}

/** The key between these quotes. The same key can be spelled in several ways. */
function keyOf(quoted: Buffer): string {
  if (!quoted.includes(BACKSLASH)) return quoted.toString('utf8', 1, quoted.length - 1);
  try {
    return JSON.parse(quoted.toString('utf8')) as string;
  } catch {
    throw noDocument();
  }
}
