/**
 * A port for gRPC and for health requests over HTTP/1: Kong probes the same port that it balances, and only over
 * HTTP/1. The first bytes of a connection tell the two apart: HTTP/2 begins with `PRI * HTTP/2.0`. With TLS, ALPN does.
 */
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { logger } from '@caudal/telemetry/log.ts';
import { type ConnectionInjector, type Server, ServerCredentials } from '@grpc/grpc-js';
import { boundPipelining } from '../server/pipelining.ts';
import { beginsTls, followSource, refusePlain, type ServerTls, tlsOptions } from '../server/tls.ts';
import { answerHealth, type Health } from './health.ts';
import { watchHeaders } from './repeated-headers.ts';

export interface Address {
  host: string;
  /** 0: any free port. */
  port: number;
}

export interface Port {
  port: number;
  /** Takes no new connections. Resolves when the open ones have ended. */
  close(): Promise<void>;
  /** Ends the connections that are still open. */
  destroy(): void;
}

const log = logger('rpc');
const http2Preface = Buffer.from('PRI');
/** Whatever else a client offers, or nothing at all, is HTTP/1. */
const ALPNProtocols = ['h2', 'http/1.1'];

export interface PortLimits {
  /** The most connections of each port at the same time. Further ones are closed at once. */
  maxConnections: number;
  /**
   * The most time of a connection to the gRPC port that is not gRPC, in milliseconds. It covers one request and its
   * answer. Node's own time-outs need a server that listens itself, and here the port listens.
   */
  plainConnectionMs: number;
}

/**
 * Listens. gRPC connections are passed to `grpc`; `health` answers the others. `mayConnect` closes those that are too many for their
 * address. `tls` absent: all are plain.
 */
export async function openPort(
  grpc: Server,
  health: Health,
  { host, port }: Address,
  { maxConnections, plainConnectionMs }: PortLimits,
  mayConnect: (socket: Socket) => boolean,
  tls?: ServerTls,
): Promise<Port> {
  const injector: ConnectionInjector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  watchHeaders(grpc);
  if (tls) answerHealth(grpc, health);
  const http = createHttpServer((request, response) => {
    // Not the URL class, which throws for some addresses that HTTP allows.
    const [path = '/'] = (request.url ?? '/').split('?');
    const answer = health(path) ?? { status: 404, text: 'not found' };
    response.writeHead(answer.status, {
      'content-type': 'text/plain',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      connection: 'close',
    });
    response.end(`${answer.text}\n`);
  });
  boundPipelining(http);
  const sockets = new Set<Socket>();
  /** Connections that are not gRPC, or whose first bytes are not read yet. */
  const plain = new Set<Socket>();
  const secure =
    tls && createTlsServer({ ...tlsOptions(tls), requestCert: tls.clientName !== undefined, ALPNProtocols });
  const unfollow = secure && followSource(secure, tls);
  secure?.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    if (socket.alpnProtocol === 'h2') {
      // Read once for the connection, and not for each call of a service.
      if (tls?.clientName) {
        const certificate = socket.getPeerCertificate();
        socket.getPeerCertificate = (() => certificate) as typeof socket.getPeerCertificate;
      }
      injector.injectConnection(socket);
      return;
    }
    const deadline = setTimeout(() => socket.destroy(), plainConnectionMs);
    plain.add(socket);
    socket.once('close', () => {
      clearTimeout(deadline);
      plain.delete(socket);
    });
    http.emit('connection', socket);
  });
  const listener = createServer((socket) => {
    if (!mayConnect(socket)) return;
    sockets.add(socket);
    plain.add(socket);
    const deadline = setTimeout(() => socket.destroy(), plainConnectionMs);
    socket.once('close', () => {
      clearTimeout(deadline);
      sockets.delete(socket);
      plain.delete(socket);
    });
    socket.setNoDelay(true);
    // A reset before one of the servers has the connection would otherwise be an uncaught error.
    const ignore = () => {};
    socket.on('error', ignore);
    const decide = () => {
      const head: Buffer | null = socket.read(http2Preface.length);
      if (!head) return;
      socket.off('readable', decide);
      if (tls && !tls.plaintext && !beginsTls(head)) {
        refusePlain(socket, head);
        return;
      }
      socket.unshift(head);
      if (secure && beginsTls(head)) {
        // Its handshake has a deadline of its own.
        clearTimeout(deadline);
        plain.delete(socket);
        secure.emit('connection', socket);
        return;
      }
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
  // If a connection can't be taken (no file handles are left), the process goes on.
  listener.on('error', (error) => log.warn({ err: error }, 'a connection could not be taken'));

  return {
    port: (listener.address() as AddressInfo).port,
    close() {
      unfollow?.();
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      // Health is answered at once, so these connections have no request in flight. Answers already written are still
      // sent.
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
