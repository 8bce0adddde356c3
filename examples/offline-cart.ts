/**
 * A cart that works offline, in a browser: `node examples/offline-cart.ts`, then open http://127.0.0.1:8090 in two tabs, stop Caudal, add
 * to the cart in both, and start Caudal again. The page is offline-cart.html; the code of the cart is packages/carts as it is.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { buffer } from 'node:stream/consumers';

const root = new URL('../', import.meta.url);
/** More than any request of the page. */
const mostBytes = 1024 * 1024;

/** Serves the page, the modules of the cart, and from `upstream` the API. */
export function offlineCartServer({ upstream }: { upstream: string }): Server {
  return createServer((request, response) => {
    answer(upstream, request, response).catch((error: Error) => {
      response.writeHead(502, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify({ detail: `Caudal can't be reached: ${error.message}` }));
    });
  });
}

async function answer(upstream: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://page');
  const send = (type: string, body: string | Buffer) => response.writeHead(200, { 'content-type': type }).end(body);
  if (pathname === '/') return void send('text/html', await readFile(new URL('examples/offline-cart.html', root)));
  if (pathname === '/idb.js')
    return void send('text/javascript', await readFile(new URL('node_modules/idb/build/index.js', root)));
  const [, module] = /^\/carts\/((?:[a-z-]+\/)?[a-z-]+\.ts)$/.exec(pathname) ?? [];
  if (module) {
    const source = await readFile(new URL(`packages/carts/src/${module}`, root), 'utf8');
    return void send('text/javascript', stripTypeScriptTypes(source));
  }
  if (Number(request.headers['content-length'] ?? 0) > mostBytes) throw new Error('the request is too large');
  const reply = await fetch(new URL(pathname, upstream), {
    method: request.method,
    headers: { 'content-type': 'application/json' },
    body: request.method === 'POST' ? await buffer(request) : undefined,
    signal: AbortSignal.timeout(5_000),
  });
  const type = reply.headers.get('content-type') ?? 'application/json';
  response.writeHead(reply.status, { 'content-type': type }).end(Buffer.from(await reply.arrayBuffer()));
}

if (import.meta.main) {
  const server = offlineCartServer({ upstream: process.env.CAUDAL_URL ?? 'http://127.0.0.1:8080' });
  server.listen(8090, '127.0.0.1', () => console.log('http://127.0.0.1:8090'));
}
