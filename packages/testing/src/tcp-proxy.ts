/** A TCP proxy that can cut, silence and slow down connections, as a network may do, without touching the server. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  /** The target's URL with the proxy's host and port. */
  url: string;
  /** Leads new connections to another server, as a service's name does after a fail-over. */
  aim(target: string): void;
  /** Ends all connections. New ones are accepted, unless `refuse` is on. */
  cut(): void;
  /** While on, new connections are ended at once: the server is unreachable. */
  refuse(on: boolean): void;
  /** While on, connections stay open, but no data passes. The data arrives afterwards. */
  silence(on: boolean): void;
  /** From now on data takes this much longer, in each direction. 0: no delay. */
  delay(ms: number): void;
  /** The number of open connections. */
  readonly connections: number;
  close(): Promise<void>;
}

/** One direction of a connection holds back at most this many bytes. */
const maxHeldBytes = 1024 * 1024;

/** Starts a proxy on a free port of `address`, to the server of the URL `target` (with host and port). */
export async function startTcpProxy(target: string, address = '127.0.0.1'): Promise<TcpProxy> {
  let { hostname, port } = new URL(target);
  const network: Network = { silent: false, delayMs: 0, resume: new Set() };
  const open = new Set<Socket>();
  let refusing = false;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect({ port: Number(port), host: hostname, allowHalfOpen: true, noDelay: true });
    open.add(client);
    const streams = [passOn(client, upstream, network), passOn(upstream, client, network)];
    const end = () => {
      open.delete(client);
      client.destroy();
      upstream.destroy();
      for (const stop of streams) stop();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  });
  server.listen(0, address);
  await once(server, 'listening');
  const url = new URL(target);
  url.hostname = address;
  url.port = String((server.address() as AddressInfo).port);
  const cut = () => {
    for (const client of open) client.destroy();
  };
  return {
    url: url.href,
    aim(other) {
      ({ hostname, port } = new URL(other));
    },
    cut,
    refuse(on) {
      refusing = on;
    },
    silence(on) {
      network.silent = on;
      if (!on) for (const resume of network.resume) resume();
    },
    delay(ms) {
      network.delayMs = ms;
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

/** A URL of the proxy's server, changed to lead through the proxy. */
export function through({ url: proxy }: Pick<TcpProxy, 'url'>, target: string): string {
  const url = new URL(target);
  url.host = new URL(proxy).host;
  // The driver must not connect to members of the replica set without the proxy.
  if (url.protocol === 'mongodb:') url.search = '?directConnection=true';
  return url.href;
}

interface Network {
  silent: boolean;
  delayMs: number;
  /** Called when silence ends. */
  resume: Set<() => void>;
}

/** Passes on the data of `from`, in order, as the network allows at the time. Returns a function that ends it. */
function passOn(from: Socket, to: Socket, network: Network): () => void {
  /** Data that waits, with the time at which it may be sent; an undefined chunk is the end. */
  const held: { chunk: Buffer | undefined; due: number }[] = [];
  let heldBytes = 0;
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (network.silent) return;
    let next = held[0];
    while (next && next.due <= performance.now()) {
      held.shift();
      if (!next.chunk) to.end();
      else {
        heldBytes -= next.chunk.length;
        if (!to.write(next.chunk)) {
          to.once('drain', flush);
          return;
        }
      }
      next = held[0];
    }
    // A timer may fire a fraction of a millisecond early.
    if (next) timer = setTimeout(flush, Math.max(1, next.due - performance.now()));
    if (heldBytes < maxHeldBytes) from.resume();
  }

  function hold(chunk: Buffer | undefined): void {
    held.push({ chunk, due: performance.now() + network.delayMs });
    heldBytes += chunk?.length ?? 0;
    if (heldBytes >= maxHeldBytes) from.pause();
    // A timer that runs already also sends the data behind it.
    if (!timer && !to.writableNeedDrain) flush();
  }

  from.on('data', hold).on('end', () => hold(undefined));
  network.resume.add(flush);
  return () => {
    clearTimeout(timer);
    network.resume.delete(flush);
  };
}
