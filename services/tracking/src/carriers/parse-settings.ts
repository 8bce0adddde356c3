/** Parses the settings of carriers. What they throw names the fault, and contains no secret. */
import { type FormatName, formats } from './formats.ts';

const maxCarriers = 100;
/** While one is replaced, both count. */
const maxSecrets = 2;
/** So that a secret can't be found by trying. */
const minSecretCharacters = 32;

/** The formats, by the carrier's name. */
export function parseCarriers(text: string): ReadonlyMap<string, FormatName> {
  const carriers = new Map<string, FormatName>();
  for (const { name, value } of partsOf(text, '=')) {
    if (!isFormat(value))
      throw new Error(`"${value.slice(0, 32)}" is no format: write one of ${Object.keys(formats).join(', ')}`);
    if (carriers.has(name)) throw new Error(`the carrier ${name} is given twice`);
    carriers.set(name, value);
  }
  return carriers;
}

/** The secrets of webhooks, by the carrier's name. */
export function parseSecrets(text: string): ReadonlyMap<string, string[]> {
  const secrets = new Map<string, string[]>();
  for (const { name, value } of partsOf(text, ':')) {
    if (value.length < minSecretCharacters)
      throw new Error(`a secret of ${name} has fewer than ${minSecretCharacters} characters`);
    const own = [...(secrets.get(name) ?? []), value];
    if (own.length > maxSecrets) throw new Error(`${name} has more than ${maxSecrets} secrets`);
    // A signature does not cover the path: what one carrier has sent could be sent again as another's.
    const other = [...secrets].find(([of, known]) => of !== name && known.includes(value));
    if (other) throw new Error(`${name} and ${other[0]} have the same secret: give each its own`);
    secrets.set(name, own);
  }
  return secrets;
}

/** The URLs of APIs, without a slash at their end, by the carrier's name. */
export function parseUrls(text: string): ReadonlyMap<string, string> {
  const urls = new Map<string, string>();
  for (const { name, value } of partsOf(text, '=')) {
    if (urls.has(name)) throw new Error(`the carrier ${name} is given twice`);
    urls.set(name, urlOf(name, value));
  }
  return urls;
}

/** What is shown to carriers: one part for a key, two for a client's id and secret; by the carrier's name. */
export function parseKeys(text: string): ReadonlyMap<string, [string] | [string, string]> {
  const keys = new Map<string, [string] | [string, string]>();
  for (const { name, value } of partsOf(text, ':')) {
    if (keys.has(name)) throw new Error(`the carrier ${name} is given twice`);
    const at = value.indexOf(':');
    keys.set(name, at < 0 ? [value] : [value.slice(0, at), value.slice(at + 1)]);
  }
  return keys;
}

const isFormat = (text: string): text is FormatName => Object.hasOwn(formats, text);

/** Parts with commas between them. The name ends at the first separator; the value has the others. */
function partsOf(text: string, separator: string): { name: string; value: string }[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > maxCarriers) throw new Error(`it has more than ${maxCarriers} parts`);
  return parts.map((part, index) => {
    const at = part.indexOf(separator);
    const name = part.slice(0, Math.max(at, 0));
    // What stands before may be a secret, if the name was forgotten.
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) || name.length > 32)
      throw new Error(
        `part ${index + 1} does not begin with a carrier's name and "${separator}": a name has small letters and digits, with single "-" between them, 32 at most`,
      );
    const value = part.slice(at + 1);
    if (value === '') throw new Error(`part ${index + 1} has nothing behind "${separator}"`);
    return { name, value };
  });
}

function urlOf(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHere = url && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && isHere)))
    throw new Error(`the URL of ${name} is not https://...`);
  if (url.username || url.password || url.search || url.hash)
    throw new Error(`the URL of ${name} has credentials, a query or a fragment: leave them out`);
  return text.replace(/\/+$/, '');
}
