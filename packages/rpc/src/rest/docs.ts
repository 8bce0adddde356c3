/** Serves /openapi.json, the pages made from it under /docs/, and the page at /. */
import fastify, { type FastifyInstance } from 'fastify';
import type { Endpoint } from '../server/endpoint.ts';
import { addFrontPage } from './front-page.ts';
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

/** Adds the pages. All of their scripts, fonts and calls are of this server. */
export function addDocs(app: FastifyInstance, endpoints: Endpoint[]): void {
  addFrontPage(app);
  const document = JSON.stringify(openApi(endpoints.map(({ contract }) => contract)));
  app.get('/openapi.json', (_, reply) =>
    reply.header('cache-control', 'public, max-age=300').type('application/json').send(document),
  );
  let opening: Promise<FastifyInstance> | undefined;
  for (const url of ['/docs', '/docs/*'])
    app.get(url, async (request, reply) => {
      opening ??= openPages();
      const pages = await opening;
      // HTTP/1.0 allows a request without a host, and the pages need one for a URL.
      const { host = 'localhost' } = request.headers;
      const answer = await pages.inject({ method: 'GET', url: request.url, headers: { host } });
      if (answer.statusCode === 404) return reply.callNotFound();
      for (const name of ['content-type', 'cache-control', 'etag', 'location'])
        if (answer.headers[name] !== undefined) reply.header(name, answer.headers[name]);
      // The browser gets the policy too, so that no later version of the pages can send a token to another server.
      return reply.code(answer.statusCode).header('content-security-policy', policy).send(answer.rawPayload);
    });
}

/**
 * The pages, in a fastify application that is created at the first request for one. Their 5 MB of JavaScript take 200
 * ms to load and 30 MB of memory, which most processes never need.
 */
async function openPages(): Promise<FastifyInstance> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const pages = fastify({ logger: false });
  await pages.register(scalar, {
    routePrefix: '/docs',
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
  await pages.ready();
  return pages;
}
