/**
 * Finds gRPC calls with a header twice. Node keeps the first `authorization` of an HTTP/2 request and drops others, so they can be
 * seen only in what it has received, which grpc-js does not pass on: hence the look at a part of it that is no part of its API.
 */
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import type { Server, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { repeated, repeatedIn } from '../server/repeated-headers.ts';

const found = new WeakMap<object, string>();

/** Looks at the streams of connections that are injected into this server, which has an injector. */
export function watchHeaders(grpc: Server): void {
  const { http2Servers } = grpc as unknown as { http2Servers?: Map<Http2Server, unknown> };
  if (!(http2Servers instanceof Map) || http2Servers.size === 0)
    throw new Error('This version of grpc-js keeps its servers in another way: repeated-headers.ts has to follow it.');
  for (const server of http2Servers.keys())
    server.prependListener('stream', ((stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: string[]) => {
      const name = repeatedIn(raw);
      if (name !== undefined) found.set(stream, name);
    }) as never);
}

/** Throws INVALID_ARGUMENT if a header of Caudal is there twice. */
export function refuseRepeatedIn(call: ServerInterceptingCallInterface): void {
  const { stream } = call as { stream?: object };
  const name = stream && found.get(stream);
  if (name !== undefined) throw repeated(name);
}
