/** TLS of the listeners: docs/tls.md. Each takes its certificate from a source, and follows its changes. */
import type { Socket } from 'node:net';
import type { Server, TlsOptions } from 'node:tls';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { TlsSource } from '@caudal/tls/tls-source.ts';
import { endWithProblem } from '../client/client-error.ts';

export interface ServerTls {
  /** It has a certificate; and authorities, if there is a `clientName`. */
  source: TlsSource;
  /** Also takes connections without TLS: for the rollout that turns TLS on. */
  plaintext?: boolean;
  /**
   * Calls of services need a client certificate with this name, from an authority of the source. Only the gRPC port asks
   * for certificates.
   */
  clientName?: string | undefined;
}

/** How long a client may take for its first bytes, and for the handshake. */
const handshakeMs = 10_000;
/** A refused connection is closed after this time, if its client does not. */
const farewellMs = 1_000;
/** The first byte of TLS: a record with a handshake. */
const handshakeRecord = 0x16;
const failed = counter('tls_handshake_errors_total', 'Connections to a port with TLS that ended in their handshake.');

const contextOf = ({ source, clientName }: ServerTls): TlsOptions => {
  const { certificate, key, ca } = source.current();
  return { cert: certificate, key, ...(clientName && { ca }), minVersion: 'TLSv1.2' };
};

/** The options of a server. A client without a certificate, or with a wrong one, connects; its calls are judged later. */
export const tlsOptions = (tls: ServerTls): TlsOptions => ({
  ...contextOf(tls),
  handshakeTimeout: handshakeMs,
  rejectUnauthorized: false,
});

/** Lets new handshakes of the server use what the source has then. Returns how to end that. */
export function followSource(server: Server, tls: ServerTls): () => void {
  server.on('tlsClientError', (_, socket) => {
    failed.add(1);
    socket.destroy();
  });
  return tls.source.onChange(() => server.setSecureContext(contextOf(tls)));
}

/** Whether the first bytes of a connection begin TLS. */
export const beginsTls = (head: Buffer): boolean => head[0] === handshakeRecord;

const tlsRequired = () =>
  new CaudalError('INVALID_ARGUMENT', 'TLS_REQUIRED', 'This port takes TLS only: begin the address with https://.');

/**
 * Ends a connection without TLS. HTTP/1 gets an answer. HTTP/2 gets none: a client that has had one would connect again at
 * once, instead of backing off. `head`: its first bytes.
 */
export function refusePlain(socket: Socket, head: Buffer): void {
  const timer = setTimeout(() => socket.destroy(), farewellMs);
  socket.once('close', () => clearTimeout(timer));
  // What it still sends is thrown away: a close with unread bytes is a reset, which peers take for the end of the process.
  socket.resume();
  const text = head.toString('latin1');
  if (/^[A-Z]/.test(text) && !text.startsWith('PRI')) endWithProblem(socket, tlsRequired());
  else socket.end();
}

/**
 * Lets an HTTPS server look at the first byte of each connection: one without TLS is served if `plaintext` says so, and is
 * refused otherwise. Node alone would end it without a word. Returns how to end connections that are no requests yet.
 */
export function takePlain(server: Server, { plaintext = false }: ServerTls): () => void {
  const open = new Set<Socket>();
  const secure = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const deadline = setTimeout(() => socket.destroy(), handshakeMs);
    open.add(socket);
    socket.once('close', () => {
      clearTimeout(deadline);
      open.delete(socket);
    });
    socket.setNoDelay(true);
    const ignore = () => {};
    socket.on('error', ignore);
    const decide = () => {
      const head: Buffer | null = socket.read();
      if (!head) return;
      socket.off('readable', decide);
      clearTimeout(deadline);
      if (!beginsTls(head) && !plaintext) {
        refusePlain(socket, head);
        return;
      }
      socket.unshift(head);
      if (beginsTls(head)) for (const take of secure) take.call(server, socket);
      // Where Node's own code passes a connection on after its handshake.
      else server.emit('secureConnection', socket);
    };
    socket.on('readable', decide);
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}
