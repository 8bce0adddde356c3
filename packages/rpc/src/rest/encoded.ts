/**
 * Answers that are the same for everybody, and large: they are compressed once for the process, and sent in parts, so that what a
 * slow client has not read yet costs next to nothing.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { addVary } from './vary.ts';

export interface Encoded {
  /** The name of the content, for caches. */
  etag: string;
  identity: Buffer;
  gzip: Buffer;
  br: Buffer;
}

/** The name of this content. */
export const etagOf = (content: Buffer): string =>
  `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;

/** Compresses a text in each encoding, beside the event loop. */
export async function encodeText(text: string): Promise<Encoded> {
  const identity = Buffer.from(text);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: identity.length };
  const [zipped, br] = await Promise.all([promisify(gzip)(identity), promisify(brotliCompress)(identity, { params })]);
  return { etag: etagOf(identity), identity, gzip: zipped, br };
}

/** Answers with the best encoding that the request takes, or 304. */
export function sendEncoded(request: FastifyRequest, reply: FastifyReply, made: Encoded): FastifyReply {
  addVary(reply, 'accept-encoding');
  reply.header('etag', made.etag);
  if (request.headers['if-none-match']?.includes(made.etag)) return reply.code(304).send();
  const encoding = encodingFor(request.headers['accept-encoding']);
  if (encoding) reply.header('content-encoding', encoding);
  const bytes = made[encoding ?? 'identity'];
  return reply.header('content-length', bytes.length).send(Readable.from(partsOf(bytes), { objectMode: false }));
}

/** A connection holds one or two: with TLS each is encrypted into memory of its own. */
const partBytes = 32 * 1024;

function* partsOf(bytes: Buffer): Iterable<Buffer> {
  for (let at = 0; at < bytes.length; at += partBytes) yield bytes.subarray(at, at + partBytes);
}

/** The best encoding that the header takes. Without one, plain: `identity;q=0` is for nobody. */
function encodingFor(accepted: string | string[] | undefined): 'br' | 'gzip' | undefined {
  const takes = (name: string) =>
    new RegExp(`(^|,)\\s*${name}\\s*(;\\s*q=(?!0(\\.0*)?\\s*(,|$))[\\d.]+\\s*)?(,|$)`, 'i').test(
      String(accepted ?? ''),
    );
  if (takes('br')) return 'br';
  return takes('gzip') ? 'gzip' : undefined;
}
