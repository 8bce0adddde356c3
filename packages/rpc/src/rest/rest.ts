/** Serves endpoints over REST, at the routes of the contract. All answers except the pages and health are JSON. */
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import compress from '@fastify/compress';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { answerClientError, answerConnect } from '../client/client-error.ts';
import { toClientError } from '../errors.ts';
import type { Doors } from '../grpc/grpc.ts';
import type { Health } from '../grpc/health.ts';
import type { Address } from '../grpc/port.ts';
import type { Admission } from '../server/admission.ts';
import type { Endpoint } from '../server/endpoint.ts';
import { boundPipelining } from '../server/pipelining.ts';
import { boundOf, tooLarge } from '../server/request-size.ts';
import { followSource, type ServerTls, takePlain, tlsOptions } from '../server/tls.ts';
import type { WebhookVerifier } from '../server/webhook.ts';
import { endIfUnread } from './connection.ts';
import { addCors, type CorsOptions } from './cors.ts';
import { addDocs } from './docs.ts';
import { keepBytes } from './json-body.ts';
import { openPages } from './open-pages.ts';
import { sendProblem } from './problem-reply.ts';
import { admit, type Route, refuseBody, routesOf, serveRoute } from './rest-route.ts';
import { addSecureHeaders } from './secure-headers.ts';
import { verbSplitter } from './verbs.ts';

export interface RestOptions {
  /** The web pages that may call; none if absent. */
  cors?: CorsOptions | undefined;
  /** Compresses answers of 1 KiB and more if the client accepts it; on if absent. */
  compression?: boolean;
  /** Serves /openapi.json, the pages under /docs/ and the page at /; on if absent. */
  docs?: boolean;
  /** For how long browsers that came by HTTPS come back by it only, in seconds; a year if absent, 0: they are not told. */
  hstsSeconds?: number;
}

export interface RestServerOptions extends Address, RestOptions, Doors {
  endpoints: Endpoint[];
  /** Closes a connection that is too many for its address. */
  mayConnect(socket: Socket): boolean;
  /** The verifiers of webhooks' signatures, by the method's path. */
  webhooks: Map<string, WebhookVerifier>;
  health: Health;
  /** From when on a connection ends with its next answer: one in use when the server closes would fail its caller. */
  ending?: AbortSignal;
  limits: { maxMessageBytes: number; maxTimeoutMs: number; maxConnections: number };
  /** Absent: the port takes plain HTTP. */
  tls?: ServerTls | undefined;
}

export interface RestServer {
  port: number;
  /** Takes no new connections. Resolves when the open ones have ended. */
  close(): Promise<void>;
  /** Ends the connections that are still open. */
  destroy(): void;
}

const log = logger('rpc');
const yearSeconds = 31_536_000;

/** Listens. Rejects if the port is taken. */
export async function startRest(options: RestServerOptions): Promise<RestServer> {
  const routes = routesOf(options.endpoints, options.webhooks);
  const splitVerb = verbSplitter(routes.map(({ rule }) => rule.template));
  const { tls, admission } = options;
  // Node's own answer is not problem+json: assertHost checks instead.
  const http = { requireHostHeader: false };
  const app = fastify({
    // fastify has another type for each kind of server, and only the listener differs.
    ...((tls ? { https: { ...tlsOptions(tls), ...http } } : { http }) as { http: typeof http }),
    logger: false,
    bodyLimit: options.limits.maxMessageBytes,
    // Longer than a balancer keeps idle connections, so that the server never closes one that the balancer is using.
    keepAliveTimeout: 75_000,
    requestTimeout: options.limits.maxTimeoutMs,
    forceCloseConnections: 'idle',
    // fastify's own answer is not problem+json. Requests that arrive while the server stops are served, then closed.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1_024 },
    rewriteUrl: ({ url }) => splitVerb(url ?? '/'),
    clientErrorHandler: answerClientError,
    frameworkErrors: (_error, request, reply) => void sendProblem(request, reply, malformed('The path is malformed.')),
  });
  addSecureHeaders(app.server, options.hstsSeconds ?? yearSeconds);
  const server = app.server as unknown as HttpsServer;
  const unfollow = tls && followSource(server, tls);
  const destroy = tls && takePlain(server, tls);
  // Set before the routes are added: each route keeps the handler that is set then.
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendProblem(request, reply, fromFastify(error, request.routeOptions.bodyLimit)),
  );
  app.addHook('onRequest', async ({ raw, headers }) => assertHost(raw.httpVersion, headers.host));
  app.addHook('onSend', async (request, reply) => {
    endIfUnread(request, reply, admission.patience, admission.limits.answerMs);
    if (options.ending?.aborted) reply.header('connection', 'close');
  });
  if (options.cors) addCors(app, options.cors, routes);
  if (options.compression ?? true) {
    await app.register(compress, { threshold: 1_024, encodings: ['br', 'gzip'], globalDecompression: false });
  }
  takeJsonOnly(app, admission);
  app.decorateRequest('admitted', undefined);
  app.decorateRequest('signature', undefined);
  app.decorateRequest('reading', false);
  for (const route of routes)
    app.route({
      method: route.rule.method,
      url: route.url,
      // Checked by Content-Length before the body is read, and by the bytes received while it is read.
      bodyLimit: boundOf(route.endpoint.contract, options.limits.maxMessageBytes),
      onRequest: (request, reply) => admit(route, options, request, reply),
      handler: (request, reply) => serveRoute(route, options, request, reply),
      errorHandler(error, request, reply) {
        const refusal = fromFastify(error, request.routeOptions.bodyLimit);
        return request.reading
          ? refuseBody(route, options, request, reply, refusal)
          : sendProblem(request, reply, refusal);
      },
    });
  for (const path of ['/livez', '/readyz']) {
    app.get(path, (_, reply) => {
      const { status, text } = options.health(path)!;
      return reply.code(status).header('cache-control', 'no-store').type('text/plain').send(`${text}\n`);
    });
  }
  if (options.docs ?? true) addDocs(app, options.endpoints, openPages(admission));

  // Refuses paths without a route before fastify checks the body, whose error would be misleading: for example a QUERY
  // request without a body.
  app.addHook('onRequest', async (request, reply) =>
    request.is404 ? refuseUnrouted(routes, request, reply) : undefined,
  );
  app.setNotFoundHandler((request, reply) => refuseUnrouted(routes, request, reply));
  app.server.maxConnections = options.limits.maxConnections;
  app.server.prependListener('connection', options.mayConnect);
  app.server.on('connect', answerConnect);
  // Node's own answer to an unknown expectation is not problem+json. HTTP allows ignoring it.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  boundPipelining(app.server);
  await app.listen({ host: options.host, port: options.port });
  // If a connection can't be taken (no file handles are left), the process goes on.
  app.server.on('error', (error) => log.warn({ err: error }, 'a connection could not be taken'));
  return {
    port: (app.server.address() as AddressInfo).port,
    close() {
      unfollow?.();
      return app.close();
    },
    destroy() {
      app.server.closeAllConnections();
      destroy?.();
    },
  };
}

/** RFC 9112: a request of HTTP/1.1 has a valid Host. The pages use it in URLs, so an invalid one could do harm. */
function assertHost(version: string, host: string | undefined): void {
  if (host === undefined && version === '1.0') return;
  if (host === undefined) throw malformed('The Host header is missing.');
  if (!/^[\w.-]+(?::\d+)?$|^\[[\da-fA-F:.]+\](?::\d+)?$/.test(host) || !URL.canParse(`http://${host}`))
    throw malformed('The Host header is not a valid host.');
}

/** Answers a request without a route. If the path has other HTTP methods, the answer names them. */
function refuseUnrouted(routes: Route[], request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?')[0]!;
  const allowed = [...new Set(routes.filter(({ matches }) => matches.test(path)).map(({ rule }) => rule.method))];
  if (allowed.length === 0)
    return sendProblem(request, reply, new CaudalError('NOT_FOUND', 'ROUTE_NOT_FOUND', 'No method has this path.'));
  reply.header('allow', allowed.join(', '));
  const message = `${request.method} is not served here, only ${allowed.join(', ')}.`;
  return sendProblem(request, reply, new CaudalError('UNIMPLEMENTED', 'METHOD_NOT_ALLOWED', message));
}

function takeJsonOnly(app: FastifyInstance, admission: Admission): void {
  keepBytes(app, admission);
  app.addHook('preParsing', async (request) => {
    const encoding = request.headers['content-encoding'];
    if (encoding && encoding !== 'identity')
      throw unsupported(`Bodies compressed with "${encoding.slice(0, 40)}" are refused: send them uncompressed.`);
  });
}

const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);
const unsupported = (message: string) => new CaudalError('INVALID_ARGUMENT', 'UNSUPPORTED_MEDIA_TYPE', message);

/** The CaudalError for an error that fastify reports before a handler runs. `bound`: the route's bound in bytes. */
function fromFastify(error: FastifyError | CaudalError, bound: number): CaudalError {
  if (error instanceof CaudalError) return error;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return tooLarge(bound);
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return unsupported('The body must be application/json.');
  if (error.statusCode && error.statusCode < 500) return malformed(`The request is malformed: ${error.message}`);
  return toClientError(error);
}
