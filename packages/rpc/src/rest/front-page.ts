/** What is at the REST port's `/`: where to go on, for a person with a browser or for a client that asks for JSON. */
import type { FastifyInstance } from 'fastify';

const places = [
  { name: 'docs', path: '/docs', what: 'every call, its permission and its errors, and a form to try it' },
  { name: 'openapi', path: '/openapi.json', what: 'the same for programs: the OpenAPI reference' },
  { name: 'readyz', path: '/readyz', what: 'whether this process takes calls' },
  { name: 'livez', path: '/livez', what: 'whether it works at all' },
];

const items = places.map(({ path, what }) => `    <li><a href="${path}">${path}</a>: ${what}</li>`);

/** Nothing in it is from elsewhere; the colours are those that the reader's browser is set to. */
const page = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Caudal</title>
  <style>
    :root { color-scheme: light dark }
    body { font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
  </style>
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
const policy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Adds it: HTML, unless the request asks for JSON and not for HTML. It needs no token, and shows none. */
export function addFrontPage(app: FastifyInstance): void {
  app.get('/', (request, reply) => {
    const { accept = '' } = request.headers;
    reply.header('vary', 'accept').header('cache-control', 'public, max-age=300');
    return /\bapplication\/json\b/i.test(accept) && !/\btext\/html\b/i.test(accept)
      ? reply.type('application/json; charset=utf-8').send(json)
      : reply.type('text/html; charset=utf-8').header('content-security-policy', policy).send(page);
  });
}
