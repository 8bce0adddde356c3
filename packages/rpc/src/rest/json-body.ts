/**
 * Reads a body as JSON. What JSON.parse would mend or drop without a word is refused: bytes that are not UTF-8, and keys that
 * an object has twice, of which it keeps the last.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyInstance } from 'fastify';

const utf8 = new TextDecoder('utf-8', { fatal: true });
const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);

/** Makes the bodies of this scope's routes stay bytes, until it is known who has sent them. */
export function keepBytes(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const refusal = wrongCharset(request.headers['content-type']);
    if (refusal) done(refusal);
    else done(null, body);
  });
}

/** Another encoding than UTF-8, which is the only one of JSON (RFC 8259). */
function wrongCharset(type: string | undefined): CaudalError | undefined {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(type ?? '')?.[1];
  if (charset === undefined || /^utf-?8$/i.test(charset)) return undefined;
  const message = `Bodies in "${charset.slice(0, 40)}" are refused: send JSON in UTF-8.`;
  return new CaudalError('INVALID_ARGUMENT', 'UNSUPPORTED_MEDIA_TYPE', message);
}

/** The JSON document of these bytes; undefined if there are none. Throws INVALID_ARGUMENT. */
export function parseJson(body: Uint8Array): unknown {
  if (body.length === 0) return undefined;
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw malformed('The body is not text in UTF-8.');
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw malformed('The body is not a JSON document.');
  }
  if (countWritten(text) !== countKept(json))
    throw malformed(`The body has the key ${keyGivenTwice(text)} twice in one object.`);
  return json;
}

const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;

/** The number of keys in the text of a JSON document: colons outside of strings. */
function countWritten(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === COLON) count++;
    if (code !== QUOTE) continue;
    for (at++; text.charCodeAt(at) !== QUOTE; at++) if (text.charCodeAt(at) === BACKSLASH) at++;
  }
  return count;
}

/** The number of keys in a parsed document. Without recursion: a document may be nested deeper than the stack is. */
function countKept(json: unknown): number {
  let count = 0;
  const open = [json];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    const inner = Object.values(value);
    if (!Array.isArray(value)) count += inner.length;
    for (const one of inner) if (typeof one === 'object' && one !== null) open.push(one);
  }
  return count;
}

/** The first key of the text that its object has already, as JSON, shortened. */
function keyGivenTwice(text: string): string | undefined {
  const objects: Set<string>[] = [];
  for (const [token, key] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') objects.push(new Set());
    else if (token === '}') objects.pop();
    else if (key !== undefined) {
      const name = JSON.parse(key) as string;
      if (objects.at(-1)!.has(name)) return JSON.stringify(name.slice(0, 100));
      objects.at(-1)!.add(name);
    }
  }
  return undefined;
}
