/** The page of examples/offline-cart on a port that stays the same when it is stopped and started again. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { offlineCartServer } from '../../examples/offline-cart/serve.ts';
import { freePorts } from '../e2e/part.ts';

export interface PageServer {
  url: string;
  start(apiUrl: string): Promise<void>;
  stop(): Promise<void>;
}

export async function makePageServer(): Promise<PageServer> {
  const [port] = await freePorts(1);
  let server: Server | undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    async start(apiUrl) {
      server = offlineCartServer({ apiUrl });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    async stop() {
      if (!server) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      server = undefined;
    },
  };
}
