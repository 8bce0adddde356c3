/** Serves the description of the REST interface: /openapi.json, and pages for people under /docs/. */
import type { FastifyInstance } from 'fastify';
import type { Endpoint } from './endpoint.ts';
import { openApi } from './openapi.ts';

const policy = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "worker-src 'self' blob:",
  "frame-ancestors 'none'",
].join('; ');

/** Adds both. The pages come from this server alone: no script, font or call of theirs goes to another. */
export async function addDocs(app: FastifyInstance, endpoints: Endpoint[]): Promise<void> {
  const document = JSON.stringify(openApi(endpoints.map(({ contract }) => contract)));
  app.get('/openapi.json', (_, reply) =>
    reply.header('cache-control', 'public, max-age=300').type('application/json').send(document),
  );
  // Only here: it carries the pages' 5 MB of JavaScript.
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  // Said to the browser too, so that no later version of the pages sends a token anywhere else.
  app.addHook('onSend', async (request, reply) => {
    if (request.url.startsWith('/docs')) reply.header('content-security-policy', policy);
  });
  await app.register(scalar, {
    routePrefix: '/docs',
    // It makes a URL of it, which HTTP/1.0 need not send.
    hooks: {
      onRequest: (request, _, done) => {
        request.headers.host ??= 'localhost';
        done();
      },
    },
    configuration: {
      url: '/openapi.json',
      pageTitle: 'Caudal API',
      withDefaultFonts: false,
      telemetry: false,
      agent: { disabled: true },
      hideClientButton: true,
      showDeveloperTools: 'never',
    },
  });
}
