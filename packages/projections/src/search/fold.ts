/**
 * One spelling for what people type in several ways. Nothing here depends on the machine's language or on a store:
 * docs/search.md, From text to tokens.
 */

/** Signs that stand beside a word and are none: NFKC would make letters of them. */
const besideWords = /[\u2122\u2120\u00ae\u00a9\u200b]/g;
/** Apostrophes: NFKC makes a space with an accent of one, and another is a letter. */
const apostrophes = /[\u0060\u00b4\u02bc\u2018\u2019\uff07]/g;
/** NFKC would join `1½` to `11/2`. */
const fractions = /[\u00bc-\u00be\u2150-\u215f\u2189]/g;
/** Joiners, soft hyphens, marks of direction, selectors of a variant; tatweel, which only fills a line. */
const invisible = /[\u0640\u00ad\u061c\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|\u034f|[\ufe00-\ufe0f]/g;
/** What needs no more than lower case. */
const usual = /^[ !"#$%&'()*+,\-./0-9:;<=>?@A-Z[\\\]^_a-z{|}~]*$/;
const otherDigits = /(?![0-9])\p{Nd}/gu;

/** The text in lower case with one code for each character, before it is cut into words. Accents are still there. */
export function normalized(text: string): string {
  if (usual.test(text)) return text.toLowerCase();
  return (
    text
      .toWellFormed()
      .replace(besideWords, ' ')
      .replace(apostrophes, "'")
      .replaceAll('×', 'x')
      .replace(fractions, ' $&')
      .normalize('NFKC')
      .replace(invisible, '')
      .replaceAll('\u2044', '/')
      // The dictionaries of Thai and Lao have these vowels in one piece; NFKC takes them apart.
      .replaceAll('\u0e4d\u0e32', '\u0e33')
      .replaceAll('\u0ecd\u0eb2', '\u0eb3')
      .replace(otherDigits, digit)
      .toLowerCase()
      // What is left of İ.
      .replaceAll('i\u0307', 'i')
  );
}

/** 0 to 9 for a digit of any script: in Unicode each script has its ten in a row. */
function digit(character: string): string {
  const code = character.codePointAt(0)!;
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value++;
  return String(value);
}

/** Letters that no decomposition makes plain. */
const plainLetters: Record<string, string> = {
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
  ø: 'o',
  đ: 'd',
  ð: 'd',
  þ: 'th',
  ł: 'l',
  ħ: 'h',
  ı: 'i',
  ŋ: 'n',
  ŧ: 't',
  ς: 'σ',
  // Hebrew: the forms at the end of a word.
  ך: 'כ',
  ם: 'מ',
  ן: 'נ',
  ף: 'פ',
  ץ: 'צ',
  // Arabic: alef wasla, alef maksura and the Persian yeh, the Persian kaf, teh marbuta.
  '\u0671': '\u0627',
  '\u0649': '\u064a',
  '\u06cc': '\u064a',
  '\u06a9': '\u0643',
  '\u0629': '\u0647',
};
const mapped = new RegExp(`[${Object.keys(plainLetters).join('')}]`, 'g');

/** How these letters are written where a keyboard does not have them. */
const wideLetters: Record<string, string> = { ä: 'ae', ö: 'oe', ü: 'ue', å: 'aa', ø: 'oe' };
const widened = /[äöüåø]/g;

const lettersWithMarks = /(\p{L})(\p{M}+)/gu;
const markless = /[\p{Script=Latin}\p{Script=Greek}\p{Script=Hebrew}\p{Script=Arabic}]/u;
const cyrillic = /\p{Script=Cyrillic}/u;
const indic = /[\p{Script=Devanagari}\p{Script=Gurmukhi}\p{Script=Gujarati}]/u;
/** The dot below that these scripts leave out. */
const nukta = /[\u093c\u0a3c\u0abc]/g;
/** Hindi writes a nasal before its own row of consonants as a letter (हिन्दी) or as a dot (हिंदी). */
const nasals = /ङ्(?=[क-घ])|ञ्(?=[च-झ])|ण्(?=[ट-ढ])|न्(?=[त-ध])|म्(?=[प-भ])|ँ/g;
/** The Arabic article, where enough of a word is left. */
const article = /^\u0627\u0644(?=\p{L}{3})/u;
/** Most words need no folding. */
const plain = /^[a-z0-9+#./]+$/;
const syllables = /[\uac00-\ud7a3]+/g;

/** Removes the marks that people leave out, and keeps those that make another letter. */
function withoutAccents(word: string): string {
  return (
    word
      .normalize('NFD')
      .replace(lettersWithMarks, (_, letter: string, marks: string) => {
        if (markless.test(letter)) return letter;
        // The stress, and the dots of ё; й and ї are letters of their own.
        if (cyrillic.test(letter))
          return letter + marks.replace(letter === 'е' ? /[\u0300\u0301\u0308]/g : /[\u0300\u0301]/g, '');
        if (indic.test(letter)) return letter + marks.replace(nukta, '');
        return letter + marks;
      })
      .normalize('NFC')
      .replace(mapped, (letter) => plainLetters[letter]!)
      // Letter by letter, so that a syllable which is not typed to its end is a beginning.
      .replace(syllables, (hangul) => hangul.normalize('NFD'))
  );
}

/**
 * A normalized word as tokens have it, in each way that people write it: without accents; with a nasal as letter or dot;
 * with `ae` for `ä`; without the Arabic article. The first stands for the word.
 */
export function foldings(word: string): string[] {
  if (plain.test(word)) return [word];
  const written = withoutAccents(word);
  const folded = written.replace(nasals, 'ं');
  const wide = withoutAccents(word.replace(widened, (letter) => wideLetters[letter]!));
  return [...new Set([folded, written, wide, folded.replace(article, '')])].filter((form) => form !== '');
}
