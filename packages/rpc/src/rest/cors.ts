/**
 * Calls from web pages of other origins (CORS, Fetch Standard): docs/callers.md. Not @fastify/cors: it answers a preflight
 * of a refused origin, of an unknown path and of a method that the path does not have with 204, and other requests that
 * use OPTIONS in plain text.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendProblem } from './problem-reply.ts';
import type { Route } from './rest-route.ts';
import { addVary } from './vary.ts';

export interface CorsOptions {
  /** The origins of web pages that may call: `https://shop.example`. */
  origins: string[];
  /** How long a browser may keep the answer to a preflight. */
  maxAgeSeconds: number;
}

/** The headers of requests that the API reads. */
export const corsRequestHeaders = [
  'authorization',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'consistency-token',
  'read-strength',
  'x-request-id',
  'x-audit-reason',
  'traceparent',
  'tracestate',
];

/** The headers of answers that a page may read. */
export const corsAnswerHeaders = [
  'etag',
  'age',
  'consistency-token',
  'x-request-id',
  'retry-after',
  'ratelimit',
  'ratelimit-policy',
  'location',
  'allow',
];

/** Answers preflights, and lets the pages of these origins read answers. To be added before all routes. */
export function addCors(app: FastifyInstance, { origins, maxAgeSeconds }: CorsOptions, routes: Route[]): void {
  const allowed = new Set(origins);
  app.addHook('onRequest', async (request, reply) => {
    // Also if there is no Origin: a cache must not give this answer to a page.
    addVary(reply, 'Origin');
    const { origin } = request.headers;
    if (origin === undefined) return undefined;
    if (allowed.has(origin))
      reply
        .header('access-control-allow-origin', origin)
        .header('access-control-expose-headers', corsAnswerHeaders.join(', '));
    return preflight(request, reply);
  });

  /** Undefined if it is no preflight, or if the path has no method: that is answered as any other request. */
  function preflight(request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    const asked = request.headers['access-control-request-method'];
    if (request.method !== 'OPTIONS' || asked === undefined) return undefined;
    const methods = corsMethods(routes, request.url.split('?')[0]!);
    if (methods.length === 0) return undefined;
    if (!allowed.has(request.headers.origin!))
      return sendProblem(request, reply, refused('this origin', 'CAUDAL_CORS_ORIGINS'));
    if (!methods.includes(asked)) return sendProblem(request, reply, refused('this method', methods.join(', ')));
    return reply
      .code(204)
      .header('access-control-allow-methods', methods.join(', '))
      .header('access-control-allow-headers', corsRequestHeaders.join(', '))
      .header('access-control-max-age', String(maxAgeSeconds))
      .send();
  }
}

/** The methods of a path. Where there is GET, there is HEAD. */
function corsMethods(routes: Route[], path: string): string[] {
  const methods = routes.filter(({ matches }) => matches.test(path)).map(({ rule }) => rule.method);
  return [...new Set(methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : method)))];
}

function refused(what: string, allowed: string): CaudalError {
  return new CaudalError(
    'PERMISSION_DENIED',
    'CORS_REFUSED',
    `Web pages may not call in this way: ${what} is not among those allowed (${allowed}).`,
  );
}
