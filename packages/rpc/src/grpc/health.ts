/**
 * Health requests over HTTP/2. With TLS the protocol is agreed on before the first request, and clients that take both, as the
 * kubelet and curl, agree on HTTP/2. grpc-js answers every request that is not gRPC with 415, so health is answered before
 * it. Its HTTP/2 servers are no part of grpc-js's API: tls.test.ts fails if a new version has others.
 */
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/** Answers `/livez` and `/readyz`: the status and one word. Undefined for any other path. */
export type Health = (path: string) => { status: number; text: string } | undefined;

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

/** Lets all connections of the server, present and injected ones, answer GET of the paths of `health`. */
export function answerHealth(grpc: Server, health: Health): void {
  const { http2Servers } = grpc as unknown as { http2Servers?: Map<Http2Server, unknown> };
  for (const server of http2Servers?.keys() ?? []) {
    const others = server.listeners('stream') as StreamListener[];
    server.removeAllListeners('stream');
    server.on('stream', (stream, headers, ...rest) => {
      const answer = headers[':method'] === 'GET' && health((headers[':path'] ?? '/').split('?')[0]!);
      if (!answer) {
        for (const other of others) other.call(server, stream, headers, ...rest);
        return;
      }
      stream.on('error', () => {});
      stream.respond({
        ':status': answer.status,
        'content-type': 'text/plain',
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
      stream.end(`${answer.text}\n`);
    });
  }
}
