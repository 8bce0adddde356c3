/**
 * A page with a cart that works offline: it changes its copy in the browser, and synchronises when it can.
 *
 *   CAUDAL_CORS_ORIGINS=http://127.0.0.1:8090 npm start
 *   node_modules/.bin/node examples/offline-cart/serve.ts [http://127.0.0.1:8080]
 *
 * Open http://127.0.0.1:8090 in two tabs, end Caudal, add to the cart in both, reload, and start Caudal again. The modules of
 * packages/carts are sent one by one, without their types; a shop bundles them with its own.
 */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const cartModules = fileURLToPath(new URL('packages/carts/src/', root));
const types = { html: 'text/html', js: 'text/javascript', json: 'application/json' } as const;

interface File {
  type: keyof typeof types;
  read(): Promise<string>;
}

/** Serves the page. `apiUrl`: where Caudal is, which must allow this server's origin (CAUDAL_CORS_ORIGINS). */
export function offlineCartServer({ apiUrl }: { apiUrl: string }): Server {
  const files = filesOf(apiUrl);
  return createServer(async ({ url = '/' }, response) => {
    const file = files.get(url.split('?', 1)[0]!);
    if (!file) return void response.writeHead(404).end();
    try {
      const content = await file.read();
      response.writeHead(200, { 'content-type': `${types[file.type]}; charset=utf-8`, 'cache-control': 'no-cache' });
      response.end(content);
    } catch (error) {
      console.error(error);
      response.writeHead(500).end();
    }
  });
}

/** All that the page consists of, by path. */
function filesOf(apiUrl: string): Map<string, File> {
  const text = (path: string) => () => readFile(new URL(path, root), 'utf8');
  const script = (path: string): File => ({ type: 'js', read: text(path) });
  const files = new Map<string, File>([
    ['/', { type: 'html', read: text('examples/offline-cart/page.html') }],
    ['/page.js', script('examples/offline-cart/page.js')],
    ['/worker.js', script('examples/offline-cart/worker.js')],
    ['/idb.js', script('node_modules/idb/build/index.js')],
    ['/settings.js', { type: 'js', read: async () => `export const apiUrl = ${JSON.stringify(apiUrl)};` }],
  ]);
  for (const module of globSync('**/*.ts', { cwd: cartModules })) {
    if (module.endsWith('.test.ts')) continue;
    const read = async () => stripTypeScriptTypes(await readFile(cartModules + module, 'utf8'));
    files.set(`/carts/${module}`, { type: 'js', read });
  }
  // The worker keeps them, so that the page opens without a network.
  const names = [...files.keys()].filter((name) => !name.includes('/testing/'));
  return files.set('/files.json', { type: 'json', read: async () => JSON.stringify(names) });
}

if (import.meta.main) {
  const server = offlineCartServer({ apiUrl: process.argv[2] ?? 'http://127.0.0.1:8080' });
  server.listen(8090, '127.0.0.1', () => console.log('http://127.0.0.1:8090'));
}
