/** A TCP proxy that can cut connections and swallow what is said: what a network does to a client, without touching the server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  /** The target's URL with the proxy's host and port. */
  url: string;
  /** Ends all connections. New ones are let through, unless `refuse` is on. */
  cut(): void;
  /** While on, new connections are ended at once: the server is away. */
  refuse(on: boolean): void;
  /** While on, connections stay open, but nothing gets through; what was said meanwhile arrives afterwards. */
  silence(on: boolean): void;
  /** How many connections are open. */
  readonly connections: number;
  close(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1, to the server of a URL (with host and port). */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const open = new Map<Socket, Socket>();
  let refusing = false;
  let silent = false;
  const server = createServer((client) => {
    if (refusing) return client.destroy();
    const upstream = connect(Number(port), hostname);
    open.set(client, upstream);
    const end = () => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    if (!silent) client.pipe(upstream).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  const cut = () => {
    for (const client of open.keys()) client.destroy();
  };
  return {
    url: url.href,
    cut,
    refuse(on) {
      refusing = on;
    },
    silence(on) {
      silent = on;
      for (const [client, upstream] of open) {
        if (on) {
          client.unpipe(upstream);
          upstream.unpipe(client);
        } else client.pipe(upstream).pipe(client);
      }
    },
    get connections() {
      return open.size;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
