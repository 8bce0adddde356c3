/** The page at the REST port's `/`: links for a person with a browser, or JSON for a client that asks for it. */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';

const places = [
  { name: 'docs', path: '/docs', what: 'all methods with their permissions and errors, and a form to call them' },
  { name: 'openapi', path: '/openapi.json', what: 'the same for programs, as an OpenAPI document' },
  { name: 'readyz', path: '/readyz', what: 'whether this process is ready to take calls' },
  { name: 'livez', path: '/livez', what: 'whether this process is alive' },
];

const items = places.map(({ path, what }) => `    <li><a href="${path}">${path}</a>: ${what}</li>`);

const style = `
    :root { color-scheme: light dark }
    body { font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
  `;

/** It loads nothing, and its colours follow the settings of the browser. */
const page = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Caudal</title>
  <style>${style}</style>
  <h1>Caudal</h1>
  <p>An order-to-delivery backend. Its REST API is served here; calls need a token.</p>
  <ul>
${items.join('\n')}
  </ul>
</html>
`;
const json = JSON.stringify({
  name: 'Caudal',
  ...Object.fromEntries(places.map(({ name, path }) => [name, path])),
});
const styleHash = createHash('sha256').update(style).digest('base64');
const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** Adds the page: as HTML, unless the request accepts JSON and not HTML. It needs no token. */
export function addFrontPage(app: FastifyInstance): void {
  app.get('/', (request, reply) => {
    const { accept = '' } = request.headers;
    reply.header('vary', 'accept').header('cache-control', 'public, max-age=300');
    return /\bapplication\/json\b/i.test(accept) && !/\btext\/html\b/i.test(accept)
      ? reply.type('application/json; charset=utf-8').send(json)
      : reply.type('text/html; charset=utf-8').header('content-security-policy', policy).send(page);
  });
}
