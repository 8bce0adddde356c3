/** Keeps the body as bytes, only for webhooks, whose signature is over the bytes. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyInstance } from 'fastify';

/** Makes the bodies of this scope's routes stay bytes. */
export function keepRawBodies(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The JSON document of these bytes; undefined if there are none. Throws INVALID_ARGUMENT. */
export function parseRawBody(body: Uint8Array): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(utf8.decode(body));
  } catch {
    throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'The body is not a JSON document in UTF-8.');
  }
}
