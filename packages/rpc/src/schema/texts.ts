/**
 * What the texts of a request may be: see `TextForm` in proto/caudal/options.proto. A text is refused, never mended, since
 * the caller would read back something else than it has sent.
 */
import { isCurrency } from '@caudal/contract/currencies.ts';
import type { TextForm } from '@caudal/contract/descriptors.ts';
import { mailAddressProblem } from '@caudal/contract/mail-address.ts';
import type { Rule } from './rules.ts';

const controls = '\\u0000-\\u001f\\u007f-\\u009f';
/** What texts of several lines do not need either: overrides of the direction, deprecated controls, and those of annotations. */
const deceptive = '\\u202d\\u202e\\u206a-\\u206f\\ufff9-\\ufffb';
/**
 * What no line needs: the separators of lines and paragraphs, and what embeds or isolates the direction of what follows. The marks
 * U+200E, U+200F and U+061C are accepted: people who mix scripts type them, and they turn nothing but the punctuation beside them.
 */
const breaksAndDirections = '\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069';

/** The texts of one line, as a pattern for JSON Schema. */
export const linePattern = `^[^${controls}${breaksAndDirections}]*$`;
const controlsInLines = `\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f${deceptive}`;
/** The texts of any number of lines. */
export const linesPattern = `^[^${controlsInLines}]*$`;
/** The same with a character that is no blank, as texts have that must not be empty. */
export const filledLinePattern = filled(`${controls}${breaksAndDirections}`);
export const filledLinesPattern = filled(controlsInLines);

function filled(forbidden: string): string {
  return `^[^${forbidden}]*[^\\s\\ufeff${forbidden}][^${forbidden}]*$`;
}

const notInLine = new RegExp(`[${controls}${breaksAndDirections}]`);
const notInLines = new RegExp(`[${controlsInLines}]`);

const named = (character: string) => `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

function withoutCharacters(forbidden: RegExp, where: string): Rule {
  return (text: string) => {
    const found = forbidden.exec(text);
    if (found) return `must not contain the character ${named(found[0])}${where}`;
    // JSON can name one half of a pair, which is no character and has no form in UTF-8.
    return text.isWellFormed() ? undefined : 'must not contain half of a character (a lone surrogate)';
  };
}

const inLine = withoutCharacters(notInLine, ': it is a text of one line');
const inLines = withoutCharacters(notInLines, '');

/** Of U+0000 and halves of characters PostgreSQL stores none, so no version has taken them. */
const storable = withoutCharacters(/\0/, '');

/** What to change about a text of this form. */
export const textRules: Record<TextForm, Rule> = {
  line: inLine,
  lines: inLines,
  currency: (text: string) =>
    inLine(text as never) ?? (isCurrency(text) ? undefined : 'must be the code of a currency in use, of ISO 4217'),
  email: (text: string) => (text === '' ? undefined : mailAddressProblem(text)),
  customerId: (text: string) => inLine(text as never) ?? customerIdProblem(text),
};

/** The same for texts that one of Caudal's services passes on: an earlier version may have taken other characters, and currencies. */
export const passedOnTextRules: Record<TextForm, Rule> = {
  ...textRules,
  line: storable,
  lines: storable,
  currency: storable,
};

/** The fields of customers have the pattern of their characters. */
function customerIdProblem(id: string): string | undefined {
  const [caller] = /^(?:service|webhook|public):/.exec(id) ?? [];
  if (caller) return `must not begin with "${caller}", which names other callers`;
  return /(?:^|\/)\.{1,2}(?:\/|$)/.test(id) ? 'must not have the part "." or "..", which paths lose' : undefined;
}
