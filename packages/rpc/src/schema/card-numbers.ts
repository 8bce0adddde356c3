/**
 * Finds card numbers in texts, so that none is stored: see docs/personal-data.md, Card numbers. A number counts if an issuer could have
 * given it, it is right by Luhn's formula, and it is written as card numbers are: in one piece, or in the groups that stand on cards.
 */
import { type DescField, ScalarType } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';

interface Range {
  /** The first digits, from and to. */
  from: string;
  to: string;
  lengths: number[];
}

const range = (from: string, to: string, ...lengths: number[]): Range => ({ from, to, lengths });
const from16 = [16, 17, 18, 19];

/** By ISO/IEC 7812 and what the schemes publish. */
const issuers: Range[] = [
  range('4', '4', 13, 16, 19), // Visa
  range('51', '55', 16), // Mastercard
  range('2221', '2720', 16),
  range('34', '34', 15), // American Express
  range('37', '37', 15),
  range('300', '305', 14, ...from16), // Diners Club
  range('3095', '3095', 14, ...from16),
  range('36', '36', 14, ...from16),
  range('38', '39', 14, ...from16),
  range('3528', '3589', ...from16), // JCB
  range('6011', '6011', ...from16), // Discover
  range('644', '659', ...from16),
  range('60', '60', 16), // RuPay
  range('508', '508', 16),
  range('62', '62', ...from16), // UnionPay
  range('81', '82', ...from16),
  range('2200', '2204', ...from16), // Mir
  range('9792', '9792', 16), // Troy
  ...['5018', '5020', '5038', '5893', '6304', '6759', '6761', '6762', '6763'].map((prefix) =>
    range(prefix, prefix, 13, 14, 15, ...from16),
  ), // Maestro
];

function isOfIssuer(digits: string): boolean {
  return issuers.some(({ from, to, lengths }) => {
    const first = digits.slice(0, from.length);
    return lengths.includes(digits.length) && first >= from && first <= to;
  });
}

/** The sum of Luhn's formula; or that of article numbers, with `weight` 3. */
function sum(digits: string, weight: 2 | 3): number {
  let total = 0;
  for (let place = 0; place < digits.length; place++) {
    const digit = Number(digits[digits.length - 1 - place]);
    const weighted = place % 2 === 1 ? digit * weight : digit;
    total += weight === 2 && weighted > 9 ? weighted - 9 : weighted;
  }
  return total;
}

/** EAN-13 and GTIN-14. One in ten of them satisfies Luhn, too. */
const isArticle = (digits: string) => (digits.length === 13 || digits.length === 14) && sum(digits, 3) % 10 === 0;

function isCard(digits: string): boolean {
  // The sum first: nine of ten numbers end here.
  return sum(digits, 2) % 10 === 0 && isOfIssuer(digits) && !isArticle(digits);
}

/** The groups of digits that stand on cards, and two halves. */
const shapes = [
  [4, 4, 4, 4],
  [4, 4, 4, 4, 1],
  [4, 4, 4, 4, 2],
  [4, 4, 4, 4, 3],
  [8, 8],
  [4, 6, 5],
  [4, 6, 4],
];
/** What may stand between groups, at most three of them: blanks, dashes, dots, underscores, slashes, and what is not seen. */
const between = /[\s\p{Pd}._/\u00ad\u200b-\u200f\u2060\ufeff]/u;
const maxBetween = 3;
const maxDigits = 19;

const separator = 10;
const other = -1;
/** By code point: the value of a digit of any script, a separator, or something else. */
const kinds = kindsOfCharacters(0x20000);

function kindsOfCharacters(most: number): Int8Array {
  const table = new Int8Array(most).fill(other);
  let row = 0;
  for (let code = 0; code < most; code++) {
    const character = String.fromCodePoint(code);
    if (/\p{Nd}/u.test(character)) {
      // Each script has its ten digits in a row.
      table[code] = row % 10;
      row++;
    } else {
      row = 0;
      if (between.test(character)) table[code] = separator;
    }
  }
  return table;
}

/** Whether a text has a card number. Takes a time in proportion to the text, whatever is in it. */
export function hasCardNumber(text: string): boolean {
  // UUIDs and account numbers have runs of digits by chance. They are rare, so they are removed only from what would be refused.
  return text.length >= 13 && isFoundIn(text) && isFoundIn(text.replace(uuids, 'x').replace(accounts, 'x'));
}

const uuids = /(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])/gi;
/** IBANs, in groups of four or without. */
const accounts = /(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])/g;

function isFoundIn(text: string): boolean {
  /** The last groups of digits, as far as a card number can reach. */
  const groups: string[] = [];
  /** Where the present group begins; -1 if none does. */
  let begin = -1;
  let gap = 0;
  for (let index = 0; index <= text.length; index++) {
    const at = index;
    let code = index < text.length ? text.charCodeAt(index) : 0;
    if (code >= 0xd800 && code < 0xdc00) code = text.codePointAt(index++)!;
    const kind = code < kinds.length ? kinds[code]! : other;
    if (kind >= 0 && kind < separator) {
      if (begin === -1) {
        if (gap > maxBetween) groups.length = 0;
        begin = at;
      }
      gap = 0;
      continue;
    }
    if (begin !== -1) {
      if (groups.length === maxGroups) groups.shift();
      groups.push(digitsOf(text, begin, at));
      begin = -1;
      if (endsWithCard(groups)) return true;
    }
    if (kind === separator) gap++;
    else if (groups.length > 0) groups.length = 0;
  }
  return false;
}

const maxGroups = 5;
/** In place of a group with more digits than a card number has. */
const tooLong = '0'.repeat(maxDigits + 1);

/** A group as the digits 0 to 9. */
function digitsOf(text: string, begin: number, end: number): string {
  // A digit has two units at most.
  if (end - begin > 2 * maxDigits) return tooLong;
  const group = text.slice(begin, end);
  if (text.charCodeAt(begin) < 0x80 && text.charCodeAt(end - 1) < 0x80 && ascii.test(group)) return group;
  let digits = '';
  for (const character of group) digits += kinds[character.codePointAt(0)!];
  return digits;
}

const ascii = /^[0-9]*$/;

/** Whether the last groups are a card number. */
function endsWithCard(groups: string[]): boolean {
  const last = groups.at(-1)!;
  if (last.length >= 13) return last.length <= maxDigits && isCard(last);
  for (const shape of shapes) if (hasShape(groups, shape) && isCard(groups.slice(-shape.length).join(''))) return true;
  return false;
}

function hasShape(groups: string[], shape: number[]): boolean {
  const before = groups.length - shape.length;
  if (before < 0) return false;
  for (let n = shape.length - 1; n >= 0; n--) if (groups[before + n]!.length !== shape[n]) return false;
  return true;
}

/**
 * Whether texts of the field are searched: all but ids, codes, tokens of Caudal's own, and numbers that others have made. What
 * exists may have an id that looks like a card number, and it must stay within reach.
 */
export function isSearchedForCards(field: DescField): boolean {
  if (field.scalar !== ScalarType.STRING || contract().mayLookLikeCard(field)) return false;
  if (/(?:^|_)ids?$/.test(field.name) || ['page_token', 'etag'].includes(field.name)) return false;
  const form = contract().textForm(field);
  return form !== 'customerId' && form !== 'currency';
}
