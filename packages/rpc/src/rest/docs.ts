/** Serves the description of the REST interface: /openapi.json, pages for people under /docs/, and a page at / that leads there. */
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

/** Adds them. The pages come from this server alone: no script, font or call of theirs goes to another. */
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
      // HTTP/1.0 need not send a host, and the pages make a URL of it.
      const { host = 'localhost' } = request.headers;
      const answer = await pages.inject({ method: 'GET', url: request.url, headers: { host } });
      if (answer.statusCode === 404) return reply.callNotFound();
      for (const name of ['content-type', 'cache-control', 'etag', 'location'])
        if (answer.headers[name] !== undefined) reply.header(name, answer.headers[name]);
      // Said to the browser too, so that no later version of the pages sends a token anywhere else.
      return reply.code(answer.statusCode).header('content-security-policy', policy).send(answer.rawPayload);
    });
}

/**
 * The pages, in an application of their own that is made when the first of them is asked for: their 5 MB of JavaScript take
 * 200 ms to load and 30 MB of memory, which most processes never need.
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
