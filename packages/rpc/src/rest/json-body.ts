/**
 * Reads a body as JSON. What JSON.parse would mend or drop without a word is refused: bytes that are not UTF-8, and keys that
 * an object has twice, of which it keeps the last. What is too much for a request is refused before it is parsed.
 */
import type { Readable } from 'node:stream';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { TypeBounds } from '../schema/bounds.ts';
import type { Admission } from '../server/admission.ts';
import { noDocument, scanJson } from './json-scan.ts';
import { readBody } from './read-body.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });
const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);

/** Makes the bodies of this scope's routes stay bytes, until it is known who has sent them. */
export function keepBytes(scope: FastifyInstance, admission: Admission): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('application/json', async (request: FastifyRequest, stream: Readable) => {
    const refusal = wrongCharset(request.headers['content-type']);
    if (refusal) throw refusal;
    return readBody(request, stream, admission);
  });
}

/** Another encoding than UTF-8, which is the only one of JSON (RFC 8259). */
function wrongCharset(type: string | undefined): CaudalError | undefined {
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(type ?? '')?.[1];
  if (charset === undefined || /^utf-?8$/i.test(charset)) return undefined;
  const message = `Bodies in "${charset.slice(0, 40)}" are refused: send JSON in UTF-8.`;
  return new CaudalError('INVALID_ARGUMENT', 'UNSUPPORTED_MEDIA_TYPE', message);
}

/**
 * The JSON document of these bytes, which is to be a message with these bounds; undefined if there are none. Throws
 * INVALID_ARGUMENT.
 */
export function parseJson(body: Buffer, bounds: TypeBounds, maxText: number): unknown {
  if (body.length === 0) return undefined;
  scanJson(bounds, withoutMark(body), maxText);
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw malformed('The body is not text in UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw noDocument();
  }
}

/** Some programs write a byte order mark before UTF-8. The decoder drops it, too. */
const withoutMark = (body: Buffer): Buffer =>
  body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? body.subarray(3) : body;
