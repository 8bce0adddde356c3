/** The client of the REST benchmarks: keep-alive connections, one per client. */
import { Agent, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';

export interface Rest {
  /** Throws unless the answer is 2xx or 304. Returns the length of its body. */
  send(method: string, path: string, body?: object): Promise<number>;
  close(): void;
}

/** `ca`: the authority of an `https:` address, in PEM. */
export function openRest(baseUrl: string, token: string, ca?: string): Rest {
  const pool = { keepAlive: true, maxSockets: 1_000 };
  const agent = ca === undefined ? new Agent(pool) : new TlsAgent({ ...pool, ca });
  const open = ca === undefined ? request : tlsRequest;
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return {
    send: (method, path, body) =>
      new Promise((resolve, reject) => {
        const call = open(`${baseUrl}${path}`, { method, agent, headers, timeout: 10_000 }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks);
            if (response.statusCode! < 400) resolve(text.length);
            else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
          });
        });
        call.on('error', reject);
        call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer in 10 s`)));
        call.end(body ? JSON.stringify(body) : undefined);
      }),
    close: () => agent.destroy(),
  };
}
