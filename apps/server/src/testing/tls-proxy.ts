/** For tests: TLS in front of a real store that has none. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, TLSSocket } from 'node:tls';
import type { Made } from '@caudal/tls/testing/certificates.ts';

export interface TlsProxy {
  port: number;
  /** Connections that ended their handshake, and whose client has trusted the certificate. */
  readonly verified: number;
  close(): void;
}

/** Passes bytes on to the server of this URL. `asks`: the client asks for TLS in the protocol, as PostgreSQL's does. */
export async function startTlsProxy(target: string, { certificate: cert, key }: Made, asks = false): Promise<TlsProxy> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let verified = 0;
  const pass = (client: TLSSocket) => {
    // A client that does not trust the certificate never sends data.
    client.once('data', () => {
      verified += 1;
    });
    const upstream = connect({ host: hostname, port: Number(port) });
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', end).on('close', end);
    }
    client.pipe(upstream).pipe(client);
  };
  const server: Server = asks
    ? createTcpServer((socket) => {
        open.add(socket);
        socket.on('error', () => socket.destroy());
        socket.once('data', () => {
          socket.write('S');
          const secure = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext({ cert, key }) });
          pass(secure);
        });
      })
    : createTlsServer({ cert, key }, pass).on('tlsClientError', () => {});
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get verified() {
      return verified;
    },
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
