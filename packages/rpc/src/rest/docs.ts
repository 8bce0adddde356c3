/** Serves /openapi.json, the pages made from it under /docs/, and the page at /. */
import type { FastifyInstance } from 'fastify';
import type { Endpoint } from '../server/endpoint.ts';
import { docsScript } from './docs-script.ts';
import { type Encoded, encodeText, sendEncoded } from './encoded.ts';
import { addFrontPage } from './front-page.ts';
import type { OpenPages } from './open-pages.ts';
import { openApi } from './openapi.ts';

/** The pages' styles are made by their script, so they can't be named here. No script but the two below runs. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const page = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Caudal API</title>
  <div id="app"></div>
  <script src="js/scalar.js"></script>
  <script src="js/start.js"></script>
</html>
`;

const configuration = {
  url: '/openapi.json',
  pageTitle: 'Caudal API',
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
};
const start = `Scalar.createApiReference('#app', ${JSON.stringify(configuration)});\n`;

/** Adds the pages; `large` bounds those that are large. All of their scripts, fonts and calls are of this server. */
export function addDocs(app: FastifyInstance, endpoints: Endpoint[], large: OpenPages): void {
  addFrontPage(app);
  const document = JSON.stringify(openApi(endpoints.map(({ contract }) => contract)));
  let encoded: Promise<Encoded> | undefined;
  app.get('/openapi.json', large, async (request, reply) => {
    encoded ??= encodeText(document).catch((error) => {
      encoded = undefined;
      throw error;
    });
    reply.header('cache-control', 'public, max-age=300').type('application/json');
    return sendEncoded(request, reply, await encoded);
  });
  app.get('/docs', (_, reply) => reply.code(301).header('location', '/docs/').send());
  // The browser gets the policy too, so that no later version of the pages can send a token to another server.
  app.get('/docs/', (_, reply) =>
    reply
      .header('content-security-policy', policy)
      .header('cache-control', 'public, max-age=300')
      .type('text/html; charset=utf-8')
      .send(page),
  );
  app.get('/docs/js/start.js', (_, reply) =>
    reply.header('cache-control', 'public, max-age=300').type('text/javascript; charset=utf-8').send(start),
  );
  const script = docsScript();
  app.get('/docs/js/scalar.js', large, async (request, reply) => {
    const made = await script();
    reply.header('cache-control', 'public, max-age=300').type('text/javascript; charset=utf-8');
    return sendEncoded(request, reply, made);
  });
}
