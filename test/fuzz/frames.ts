/** Violations of gRPC's own rules around the message: frames, compression, paths, content types, headers, sizes. */
import { deflateSync, gzipSync } from 'node:zlib';
import { framed, type GrpcRequest } from './grpc-call.ts';

export interface FrameCase extends GrpcRequest {
  title: string;
  /** The codes that gRPC's specification gives them, or `HTTP 415`; `broken` if the stream may be reset. */
  ends: readonly string[];
}

const mebibyte = 1024 * 1024;
const zeros = (bytes: number) => Buffer.alloc(bytes);

/** Calls of the method with this correct message; `headers` are those of every call to it. */
export function frameCases(path: string, good: Uint8Array, headers: Record<string, string>): FrameCase[] {
  const cases: FrameCase[] = [];
  const add = (title: string, ends: readonly string[], change: Partial<GrpcRequest>) =>
    cases.push({ title, ends, path, body: framed(good), ...change, headers: { ...headers, ...change.headers } });
  const encoded = (encoding: string) => ({ 'grpc-encoding': encoding });

  add('nothing', ['UNIMPLEMENTED', 'INTERNAL'], { body: Buffer.of() });
  for (const length of [1, 4])
    add(`${length} bytes of a frame`, ['UNIMPLEMENTED', 'INTERNAL'], { body: zeros(length) });
  for (const length of [1, 100])
    add(`${length} bytes too few`, ['UNIMPLEMENTED', 'INTERNAL'], {
      body: framed(good, { length: good.length + length }),
    });
  add('4 MiB too few', ['RESOURCE_EXHAUSTED'], { body: framed(good, { length: 4 * mebibyte + 1 }) });
  add('a length of 32 bits', ['RESOURCE_EXHAUSTED'], { body: framed(good, { length: 2 ** 32 - 1 }) });
  add('two messages', ['UNIMPLEMENTED', 'INTERNAL'], { body: Buffer.concat([framed(good), framed(good)]) });
  add('bytes after the message', ['UNIMPLEMENTED', 'INTERNAL', 'OK'], {
    body: Buffer.concat([framed(good), zeros(3)]),
  });
  for (const flag of [1, 2, 255])
    add(`flag ${flag} without compression`, ['INTERNAL', 'OK'], { body: framed(good, { compressed: flag }) });

  const compressed = { gzip: gzipSync(good), deflate: deflateSync(good) };
  for (const [encoding, bytes] of Object.entries(compressed)) {
    add(encoding, ['OK'], { body: framed(bytes, { compressed: 1 }), headers: encoded(encoding) });
    add(`no ${encoding}`, ['INTERNAL'], { body: framed(good, { compressed: 1 }), headers: encoded(encoding) });
    const half = bytes.subarray(0, bytes.length / 2);
    add(`half of a ${encoding}`, ['INTERNAL'], { body: framed(half, { compressed: 1 }), headers: encoded(encoding) });
  }
  const bomb = gzipSync(zeros(256 * mebibyte));
  add('a small message that is large', ['RESOURCE_EXHAUSTED'], {
    body: framed(bomb, { compressed: 1 }),
    headers: encoded('gzip'),
  });
  for (const encoding of ['snappy', 'x'.repeat(1_000), ''])
    add(`encoding "${encoding.slice(0, 10)}"`, ['UNIMPLEMENTED', 'INTERNAL'], {
      body: framed(good, { compressed: 1 }),
      headers: encoded(encoding),
    });

  for (const size of [4 * mebibyte + 1, 20 * mebibyte])
    add(`${size} bytes`, ['RESOURCE_EXHAUSTED'], { body: framed(zeros(size)) });
  add('20 MiB without a token', ['UNAUTHENTICATED'], {
    body: framed(zeros(20 * mebibyte)),
    headers: { authorization: '' },
  });

  for (const other of ['/', '/x', '/a/b/c', `${path}x`, path.toLowerCase(), `/${'x'.repeat(8_000)}`, '/%00', '/../..'])
    add(`path ${other.slice(0, 40)}`, ['UNIMPLEMENTED'], { path: other });
  for (const type of ['text/plain', 'application/json', 'application/grp', ''])
    add(`content type "${type}"`, ['HTTP 415'], { headers: { 'content-type': type } });
  for (const type of ['application/grpc+json', 'application/grpc-web', 'application/grpcx'])
    add(`content type "${type}"`, ['OK', 'HTTP 415', 'INTERNAL', 'UNIMPLEMENTED'], {
      headers: { 'content-type': type },
    });
  for (const timeout of ['', 'abc', '-1S', '1', '1X', '1.5S', '5 S', '999999999999S'])
    add(`grpc-timeout "${timeout}"`, ['INTERNAL', 'OK', 'OUT_OF_RANGE', 'DEADLINE_EXCEEDED', 'INVALID_ARGUMENT'], {
      headers: { 'grpc-timeout': timeout },
    });

  for (const size of [15_000, 60_000, 200_000, 900_000])
    add(`a header of ${size} bytes`, ['OK', 'broken'], { headers: { 'x-fuzz': 'x'.repeat(size) } });
  for (const count of [100, 500, 2_000])
    add(`${count} headers`, ['OK', 'broken'], {
      headers: Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-fuzz-${n}`, 'x'])),
    });

  const services = [
    'grpc.health.v1.Health/Check',
    'grpc.health.v1.Health/List',
    'grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  ];
  for (const service of services)
    for (const body of [framed(good), framed(Buffer.from([0xff, 0xff])), framed(zeros(100)), Buffer.of()])
      add(service, ['OK', 'NOT_FOUND', 'UNIMPLEMENTED', 'INTERNAL'], { path: `/${service}`, body });
  return cases;
}
