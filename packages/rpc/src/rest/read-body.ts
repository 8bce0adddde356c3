/**
 * Reads a body into one buffer that grows as bytes arrive, and counts it from the first byte. Parts are copied into it: each part
 * alone would keep the whole of what was read from the connection with it.
 */
import type { Readable } from 'node:stream';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyRequest } from 'fastify';
import type { Admission } from '../server/admission.ts';
import { tooLarge, tooSlow } from '../server/request-size.ts';

/** The most that is allocated for an announced length before as much has arrived. */
const firstBytes = 16 * 1024;

/** The bytes of an admitted request's body. Throws the error to answer if it is too long, too slow, or too much for its caller. */
export function readBody(
  request: FastifyRequest,
  stream: Readable,
  { patience, limits }: Pick<Admission, 'patience' | 'limits'>,
): Promise<Buffer> {
  const bound = request.routeOptions.bodyLimit;
  const { place } = request.admitted!;
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bound) return Promise.reject(tooLarge(bound));
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let buffer = Buffer.alloc(0);
  let length = 0;

  const grow = (needed: number) => {
    if (needed <= buffer.length) return;
    const size = Math.min(bound, Math.max(needed, buffer.length * 2, Math.min(announced, firstBytes)));
    // Both are there while one is copied.
    place.take(size);
    const larger = Buffer.allocUnsafeSlow(size);
    buffer.copy(larger, 0, 0, length);
    place.give(buffer.length);
    buffer = larger;
  };
  const onData = (part: Buffer) => {
    try {
      if (length + part.length > bound) throw tooLarge(bound);
      grow(length + part.length);
      length += part.copy(buffer, length);
    } catch (error) {
      finish();
      reject(error);
    }
  };
  const onEnd = () => {
    finish();
    try {
      place.received();
      resolve(buffer.subarray(0, length));
    } catch (error) {
      reject(error);
    }
  };
  const onBroken = () => {
    finish();
    reject(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller has disconnected.'));
  };
  const done = patience.watchArrival(
    limits.requestBodyMs,
    () => length,
    () => {
      finish();
      reject(tooSlow());
    },
  );
  const finish = () => {
    done();
    stream.off('data', onData).off('end', onEnd).off('close', onBroken);
    // What still arrives is dropped.
    stream.resume();
  };
  stream.on('data', onData).on('end', onEnd).on('close', onBroken);
  // A broken connection is also an error, after which the stream closes.
  stream.on('error', () => {});
  return promise;
}
