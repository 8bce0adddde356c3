/**
 * A port that speaks gRPC and answers health requests over HTTP/1: Kong probes the very port that it balances, and can
 * do so over HTTP/1 only. The first bytes of a connection tell the two apart: HTTP/2 begins with `PRI * HTTP/2.0`.
 */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type ConnectionInjector, type Server, ServerCredentials } from '@grpc/grpc-js';

export interface Address {
  host: string;
  /** 0 for any free port. */
  port: number;
}

export interface Port {
  port: number;
  /** Takes no new connections; resolves when the open ones have ended. */
  close(): Promise<void>;
  /** Ends what is still open. */
  destroy(): void;
}

/** Answers `/livez` and `/readyz`: the status and one word. Undefined for any other path. */
export type Health = (path: string) => { status: number; text: string } | undefined;

const http2Preface = Buffer.from('PRI');
/** A connection says what it speaks within this time, or goes. */
const firstBytesMs = 10_000;

/** Listens. gRPC connections go to `grpc`, others get answers from `health`. */
export async function openPort(grpc: Server, health: Health, { host, port }: Address): Promise<Port> {
  const injector: ConnectionInjector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const http = createHttpServer({ keepAliveTimeout: 75_000, requestTimeout: 10_000 }, (request, response) => {
    const answer = health(new URL(request.url ?? '/', 'http://health').pathname) ?? { status: 404, text: 'not found' };
    response.writeHead(answer.status, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
    response.end(`${answer.text}\n`);
  });
  const sockets = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    // Resets before either server has the connection would else be uncaught.
    const ignore = () => {};
    socket.on('error', ignore);
    socket.setTimeout(firstBytesMs, () => socket.destroy());
    const decide = () => {
      const head: Buffer | null = socket.read(http2Preface.length);
      if (!head) return;
      socket.off('readable', decide);
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.unshift(head);
      if (head.equals(http2Preface)) injector.injectConnection(socket);
      else http.emit('connection', socket);
    };
    socket.on('readable', decide);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, host, () => {
      listener.off('error', reject);
      resolve();
    });
  });

  return {
    port: (listener.address() as AddressInfo).port,
    close() {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      http.closeIdleConnections();
      return closed;
    },
    destroy() {
      listener.close();
      injector.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}
