/**
 * A port that speaks gRPC and answers health requests over HTTP/1: Kong probes the very port that it balances, and can
 * do so over HTTP/1 only. The first bytes of a connection tell the two apart: HTTP/2 begins with `PRI * HTTP/2.0`.
 */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { logger } from '@caudal/telemetry/log.ts';
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

const log = logger('rpc');
const http2Preface = Buffer.from('PRI');

export interface PortLimits {
  /** Connections at once, on each port; above that new ones are closed at once. */
  maxConnections: number;
  /**
   * How long a connection to the gRPC port that is not gRPC may last in all, in milliseconds: it says what it speaks,
   * asks once, and is answered. Node's own time-outs work only for servers that listen themselves.
   */
  plainConnectionMs: number;
}

/** Listens. gRPC connections go to `grpc`, others get answers from `health`. */
export async function openPort(
  grpc: Server,
  health: Health,
  { host, port }: Address,
  { maxConnections, plainConnectionMs }: PortLimits,
): Promise<Port> {
  const injector: ConnectionInjector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const http = createHttpServer((request, response) => {
    // Not by the URL class, which throws for some of what HTTP lets through.
    const [path = '/'] = (request.url ?? '/').split('?');
    const answer = health(path) ?? { status: 404, text: 'not found' };
    response.writeHead(answer.status, {
      'content-type': 'text/plain',
      'cache-control': 'no-store',
      connection: 'close',
    });
    response.end(`${answer.text}\n`);
  });
  const sockets = new Set<Socket>();
  /** Those that are not gRPC, or have not said so yet. */
  const plain = new Set<Socket>();
  const listener = createServer((socket) => {
    sockets.add(socket);
    plain.add(socket);
    const deadline = setTimeout(() => socket.destroy(), plainConnectionMs);
    socket.once('close', () => {
      clearTimeout(deadline);
      sockets.delete(socket);
      plain.delete(socket);
    });
    socket.setNoDelay(true);
    // Resets before either server has the connection would else be uncaught.
    const ignore = () => {};
    socket.on('error', ignore);
    const decide = () => {
      const head: Buffer | null = socket.read(http2Preface.length);
      if (!head) return;
      socket.off('readable', decide);
      socket.unshift(head);
      if (!head.equals(http2Preface)) {
        http.emit('connection', socket);
        return;
      }
      clearTimeout(deadline);
      plain.delete(socket);
      injector.injectConnection(socket);
    };
    socket.on('readable', decide);
  });
  listener.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, host, () => {
      listener.off('error', reject);
      resolve();
    });
  });
  // A connection that can't be taken (no file handles are left) is not the end of the process.
  listener.on('error', (error) => log.warn({ err: error }, 'a connection could not be taken'));

  return {
    port: (listener.address() as AddressInfo).port,
    close() {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      // Health is answered at once, so what is left of these has nothing in flight: an answer that is on its way still goes.
      for (const socket of plain) socket.destroySoon();
      return closed;
    },
    destroy() {
      listener.close();
      injector.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}
