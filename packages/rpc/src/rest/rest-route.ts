/** A REST route: runs a request through the pipeline and writes the answer. */
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type HeaderReader, headerNames } from '../headers.ts';
import { maskJson } from '../schema/mask.ts';
import type { Authenticate } from '../server/auth.ts';
import { callerOf } from '../server/caller.ts';
import { whenEmitted } from '../server/deadline.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import type { WebhookSignature, WebhookVerifier } from '../server/webhook.ts';
import { parseJson } from './json-body.ts';
import { type LocationOf, locationOf } from './location.ts';
import { refusedConditions } from './preconditions.ts';
import { sendProblem } from './problem-reply.ts';
import { requestJson } from './rest-request.ts';
import { bytesToJson, fieldNamed, jsonToBytes } from './transcode.ts';
import { addVary } from './vary.ts';

export interface Route {
  endpoint: Endpoint;
  rule: HttpRule;
  /** The path for fastify, with the verb in segments of its own. */
  url: string;
  /** Matches the paths of this route, for any HTTP method. */
  matches: RegExp;
  location: LocationOf | undefined;
  /** Verifies signatures; for webhooks only. */
  verifier: WebhookVerifier | undefined;
}

/** The routes of all endpoints. Internal methods have none. `webhooks` are by the method's path. */
export function routesOf(endpoints: Endpoint[], webhooks: Map<string, WebhookVerifier>): Route[] {
  return endpoints
    .filter(({ contract }) => !contract.access.internal)
    .flatMap((endpoint) => {
      const verifier = webhooks.get(endpoint.contract.path);
      const location = locationOf(endpoint.contract);
      return endpoint.contract.http.map((rule) => {
        const path = rule.template.replace(/:(\w+)$/, '/:/:$1');
        return {
          endpoint,
          rule,
          url: path.replace(/\/:\/:(\w+)$/, '/::/::$1').replace(/\{(\w+)\}/g, ':$1'),
          matches: pathOf(path),
          location,
          verifier,
        };
      });
    });
}

/** The paths of a template. */
export function pathOf(template: string): RegExp {
  return new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`);
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before the body is read; not set for webhooks. */
    caller: Caller | undefined;
    /** For webhooks only: the signature that the body must have. */
    signature: WebhookSignature | undefined;
  }
}

/**
 * Admits a request before its body is read. A caller that is not authenticated, or a request for which there is no free
 * place, is refused at once, so that the server never holds the body of such a request.
 */
export async function admit(
  route: Route,
  { pipeline, authenticate }: { pipeline: Pipeline; authenticate: Authenticate },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  try {
    const refusal = pipeline.full();
    if (refusal) throw refusal;
    const header = headerReader(request);
    if (route.verifier) request.signature = route.verifier.read(header(headerNames.signature));
    else request.caller = await callerOf(route.endpoint, header, authenticate);
    return undefined;
  } catch (error) {
    // Refuses through the pipeline, which counts and reports all calls.
    return serveRoute(route, pipeline, request, reply, () => Promise.reject(error));
  }
}

const headerReader =
  ({ headers }: FastifyRequest): HeaderReader =>
  (name) => {
    const value = headers[name === headerNames.consistency ? 'consistency-token' : name];
    return Array.isArray(value) ? value[0] : value;
  };

/**
 * The caller of an admitted request, after its body is read. For a webhook, throws UNAUTHENTICATED if it is not signed.
 */
function admitted({ verifier }: Route, { caller, signature, body }: FastifyRequest): Caller {
  return verifier ? verifier.verify(signature!, (body as Buffer | undefined) ?? Buffer.alloc(0)) : caller!;
}

/** Serves one request. For a caller that was not admitted, `authenticate` rejects with the error. */
export async function serveRoute(
  route: Route,
  pipeline: Pipeline,
  request: FastifyRequest,
  reply: FastifyReply,
  authenticate: () => Caller | Promise<Caller> = () => admitted(route, request),
): Promise<FastifyReply> {
  const { endpoint, rule, location: locationFrom } = route;
  const { contract, definition } = endpoint;
  const header = headerReader(request);
  const isRead = rule.method === 'GET';
  const outcome = await pipeline.run(endpoint, {
    counted: true,
    authenticate,
    header,
    address: request.socket.remoteAddress,
    whenGone: whenEmitted(reply.raw, 'close'),
    // A body has at most its route's bodyLimit, or was not read to its end.
    bytes: rule.body ? undefined : request.originalUrl.length,
    decode: () => {
      const json = requestJson(contract.request, rule.body, {
        params: request.params as Record<string, string>,
        query: queryOf(request.url),
        body: parseJson((request.body as Buffer | undefined) ?? Buffer.alloc(0)),
        // Of a signed request only the body counts: headers are not signed.
        ifMatch:
          isRead || route.verifier || !fieldNamed(contract.request, 'etag') ? undefined : unquoted(header('if-match')),
        refused: route.verifier
          ? []
          : refusedConditions(request.headers, { isRead, hasEtag: endpoint.hasEtag, request: contract.request }),
      });
      return definition.requestDeserialize(Buffer.from(jsonToBytes(contract.request, json)));
    },
    encode: (response, { mask, etag, whole }) => {
      const json = bytesToJson(contract.response, definition.responseSerialize(response));
      return {
        body: JSON.stringify(mask ? maskJson(contract.response, json, mask) : json),
        etag,
        location: locationFrom?.(whole),
      };
    },
  });
  if (!outcome.ok) return sendProblem(request, reply, outcome.error, outcome.requestId);
  const { body, etag, location } = outcome.answer;
  reply.header(headerNames.requestId, outcome.requestId);
  if (outcome.consistency) reply.header('consistency-token', outcome.consistency);
  if (outcome.age) reply.header('age', outcome.age);
  if (etag) reply.header('etag', `"${etag}"`);
  if (location) reply.header('location', location);
  // An answer is for one caller only. Caches must ask again each time, with the etag.
  reply.header('cache-control', isRead ? 'private, no-cache' : 'no-store');
  addVary(reply, 'authorization');
  if (isRead && etag && hasTag(header('if-none-match'), etag)) return reply.code(304).send();
  return reply.code(contract.successStatus).type('application/json').send(body);
}

/** The query's parameters. Throws INVALID_ARGUMENT if one is not UTF-8: URLSearchParams would mend it without a word. */
function queryOf(url: string): URLSearchParams {
  const text = url.split('?').slice(1).join('?');
  for (const part of text.split('&')) {
    try {
      decodeURIComponent(part);
    } catch {
      const name = part.split('=')[0]!.slice(0, 100);
      throw new CaudalError(
        'INVALID_ARGUMENT',
        'MALFORMED_REQUEST',
        `The query has a text that is not UTF-8: ${name}.`,
      );
    }
  }
  return new URLSearchParams(text);
}

/** The etag without its quotes. Proxies that compress make it weak (`W/`), so both forms are accepted. */
function unquoted(value: string | undefined): string | undefined {
  return value?.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
}

function hasTag(header: string | undefined, etag: string): boolean {
  return !!header?.split(',').some((tag) => tag.trim() === '*' || unquoted(tag) === etag);
}
