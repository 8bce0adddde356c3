/** Serves endpoints over REST, by the routes that the contract gives them. Everything it answers is JSON. */
import type { AddressInfo } from 'node:net';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import compress from '@fastify/compress';
import cors from '@fastify/cors';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { answerClientError, answerConnect } from '../client/client-error.ts';
import { toClientError } from '../errors.ts';
import type { Address, Health } from '../grpc/port.ts';
import type { Authenticate } from '../server/auth.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { boundOf, tooLarge } from '../server/request-size.ts';
import type { WebhookVerifier } from '../server/webhook.ts';
import { addDocs } from './docs.ts';
import { sendProblem } from './problem-reply.ts';
import { keepRawBodies } from './raw-body.ts';
import { admit, type Route, routesOf, serveRoute } from './rest-route.ts';

export interface RestOptions {
  /** Web pages of these origins may call; none if absent. */
  cors?: { origins: string[] };
  /** Compresses answers of 1 KiB and more for clients that take it; on if absent. */
  compression?: boolean;
  /** Serves /openapi.json, the pages under /docs/ and the one at /; on if absent. */
  docs?: boolean;
}

export interface RestServerOptions extends Address, RestOptions {
  endpoints: Endpoint[];
  pipeline: Pipeline;
  authenticate: Authenticate;
  /** What checks the signatures of webhooks, by the method's path. */
  webhooks: Map<string, WebhookVerifier>;
  health: Health;
  limits: { maxMessageBytes: number; maxTimeoutMs: number; maxConnections: number };
}

export interface RestServer {
  port: number;
  /** Takes no new connections; resolves when the open ones are done. */
  close(): Promise<void>;
  /** Ends what is still open. */
  destroy(): void;
}

const log = logger('rpc');
const exposed = ['ETag', 'Age', 'Consistency-Token', 'X-Request-Id', 'Retry-After', 'Location'];

/** Listens. Rejects if the port is taken. */
export async function startRest(options: RestServerOptions): Promise<RestServer> {
  const app = fastify({
    logger: false,
    bodyLimit: options.limits.maxMessageBytes,
    // Longer than a balancer keeps its idle connections, so that it is never us who close one in use.
    keepAliveTimeout: 75_000,
    requestTimeout: options.limits.maxTimeoutMs,
    forceCloseConnections: 'idle',
    // Its own answer is no problem+json. What still comes in while the server stops is served, and the connection closed.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1_024 },
    rewriteUrl: ({ url }) => splitVerb(url ?? '/'),
    clientErrorHandler: answerClientError,
    // Node's own answer is no problem+json: see assertHost.
    http: { requireHostHeader: false },
    frameworkErrors: (_error, request, reply) => void sendProblem(request, reply, malformed('The path is malformed.')),
  });
  // Before the routes: each keeps the handler that is there when it is made.
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendProblem(request, reply, fromFastify(error, request.routeOptions.bodyLimit)),
  );
  app.addHook('onRequest', async ({ raw, headers }) => assertHost(raw.httpVersion, headers.host));
  if (options.cors) await app.register(cors, { origin: options.cors.origins, exposedHeaders: exposed, maxAge: 600 });
  if (options.compression ?? true) {
    await app.register(compress, { threshold: 1_024, encodings: ['br', 'gzip'], globalDecompression: false });
  }
  parseJsonOnly(app);
  app.decorateRequest('caller', undefined);
  app.decorateRequest('signature', undefined);
  const routes = routesOf(options.endpoints, options.webhooks);
  const addRoute = (to: FastifyInstance, route: Route) =>
    to.route({
      method: route.rule.method,
      url: route.url,
      // By Content-Length before the body is read, and by what has come while it is.
      bodyLimit: boundOf(route.endpoint.contract, options.limits.maxMessageBytes),
      onRequest: (request, reply) => admit(route, options, request, reply),
      handler: (request, reply) => serveRoute(route, options.pipeline, request, reply),
    });
  for (const route of routes.filter(({ verifier }) => !verifier)) addRoute(app, route);
  await app.register(async (scope) => {
    keepRawBodies(scope);
    for (const route of routes.filter(({ verifier }) => verifier)) addRoute(scope, route);
  });
  for (const path of ['/livez', '/readyz']) {
    app.get(path, (_, reply) => {
      const { status, text } = options.health(path)!;
      return reply.code(status).header('cache-control', 'no-store').type('text/plain').send(`${text}\n`);
    });
  }
  if (options.docs ?? true) addDocs(app, options.endpoints);

  // Before the body is looked at, which would be found fault with first: a QUERY without one is no QUERY to fastify.
  app.addHook('onRequest', async (request, reply) =>
    request.is404 ? refuseUnrouted(routes, request, reply) : undefined,
  );
  app.setNotFoundHandler((request, reply) => refuseUnrouted(routes, request, reply));
  app.server.maxConnections = options.limits.maxConnections;
  app.server.on('connect', answerConnect);
  // Of an expectation that is not known, Node's own answer is no problem+json; HTTP allows to pass over it.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  await app.listen({ host: options.host, port: options.port });
  // A connection that can't be taken (no file handles are left) is not the end of the process.
  app.server.on('error', (error) => log.warn({ err: error }, 'a connection could not be taken'));
  return {
    port: (app.server.address() as AddressInfo).port,
    close: () => app.close(),
    destroy: () => app.server.closeAllConnections(),
  };
}

/**
 * `/v1/orders/1:cancel` as `/v1/orders/1/:/:cancel`: fastify takes a colon for the start of a parameter, and would see
 * `{order_id}:cancel` and `{order_id}` as one route. Two segments, since one could be taken for a parameter in turn:
 * `/v1/products:search` for the product ":search".
 */
function splitVerb(url: string): string {
  const [, path = url, query = ''] = /^([^?]*)(\?.*)?$/s.exec(url) ?? [];
  return `${path.replace(/([^/]):(\w+)$/, '$1/:/:$2')}${query}`;
}

/** RFC 9112: a request of HTTP/1.1 has a Host that is one. Pages are built from it, so what is none would do harm. */
function assertHost(version: string, host: string | undefined): void {
  if (host === undefined && version === '1.0') return;
  if (host === undefined) throw malformed('The Host header is missing.');
  if (!/^[\w.-]+(?::\d+)?$|^\[[\da-fA-F:.]+\](?::\d+)?$/.test(host) || !URL.canParse(`http://${host}`))
    throw malformed('The Host header names no host.');
}

/** Answers where no route is: with what is served there, if anything. */
function refuseUnrouted(routes: Route[], request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?')[0]!;
  const allowed = [...new Set(routes.filter(({ matches }) => matches.test(path)).map(({ rule }) => rule.method))];
  if (allowed.length === 0)
    return sendProblem(
      request,
      reply,
      new CaudalError('NOT_FOUND', 'ROUTE_NOT_FOUND', 'There is nothing at this path.'),
    );
  reply.header('allow', allowed.join(', '));
  const message = `${request.method} is not served here, only ${allowed.join(', ')}.`;
  return sendProblem(request, reply, new CaudalError('UNIMPLEMENTED', 'METHOD_NOT_ALLOWED', message));
}

function parseJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    if (text === '') {
      done(null, undefined);
      return;
    }
    try {
      done(null, JSON.parse(text as string));
    } catch {
      done(malformed('The body is no JSON document.'));
    }
  });
  app.addHook('preParsing', async (request) => {
    const encoding = request.headers['content-encoding'];
    if (encoding && encoding !== 'identity')
      throw unsupported(`Bodies compressed with "${encoding.slice(0, 40)}" are not taken.`);
  });
}

const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);
const unsupported = (message: string) => new CaudalError('INVALID_ARGUMENT', 'UNSUPPORTED_MEDIA_TYPE', message);

/** What fastify refuses before a handler runs, as Caudal says it. `bound`: the most bytes of the route's bodies. */
function fromFastify(error: FastifyError | CaudalError, bound: number): CaudalError {
  if (error instanceof CaudalError) return error;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return tooLarge(bound);
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return unsupported('The body must be application/json.');
  if (error.statusCode && error.statusCode < 500) return malformed(`The request is malformed: ${error.message}`);
  return toClientError(error);
}
