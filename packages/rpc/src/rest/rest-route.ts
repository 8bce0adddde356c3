/** A REST route: runs a request through the pipeline and writes the answer. */
import type { Page } from '@caudal/contract/gen/caudal/type/v1/page.ts';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Doors } from '../grpc/grpc.ts';
import { type HeaderReader, headerNames } from '../headers.ts';
import { type Mask, maskJson } from '../schema/mask.ts';
import type { Admission, Admitted } from '../server/admission.ts';
import { callerOf } from '../server/caller.ts';
import { whenEmitted } from '../server/deadline.ts';
import { encodeOnce } from '../server/encode-once.ts';
import type { Endpoint } from '../server/endpoint.ts';
import { rateHeaders } from '../server/rate-limits.ts';
import { refuseRepeated } from '../server/repeated-headers.ts';
import type { WebhookSignature, WebhookVerifier } from '../server/webhook.ts';
import { cacheControl, isConfirmed, validatorOf, variedBy } from './caching.ts';
import { endIfUnfinished, whenAnswered } from './connection.ts';
import { decodeRest, unquoted } from './decode.ts';
import { pageHeaders, pageType } from './html-page.ts';
import { type LocationOf, locationOf } from './location.ts';
import { sendProblem } from './problem-reply.ts';
import { bytesToJson } from './transcode.ts';
import { addVary } from './vary.ts';
import { pathOf, routedTemplate } from './verbs.ts';

export interface Route {
  endpoint: Endpoint;
  rule: HttpRule;
  /** The path for fastify, with the verb as its first segment. */
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
        const path = routedTemplate(rule.template);
        return {
          endpoint,
          rule,
          url: path.replace(/^\/:/, '/::').replace(/\{(\w+)\}/g, ':$1'),
          matches: pathOf(path),
          location,
          verifier,
        };
      });
    });
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before the body is read. */
    admitted: Admitted | undefined;
    /** Whether the body is still to be read, or to be refused. */
    reading: boolean;
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
  doors: Doors,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const { admission, authenticate } = doors;
  let caller: Caller | undefined;
  try {
    const refusal = admission.full();
    if (refusal) throw refusal;
    refuseRepeated(request.raw.rawHeaders);
    const header = headerReader(request);
    const address = admission.address(request.raw.socket.remoteAddress, header);
    if (route.verifier) {
      admission.mayCheck(address);
      request.signature = route.verifier.read(header(headerNames.signature));
    } else {
      // Its handler checks what is shown.
      if (route.endpoint.contract.rawBody) admission.mayCheck(address);
      caller = await admission.known(address, (mayCheck) => callerOf(route.endpoint, header, authenticate, mayCheck));
    }
    request.admitted = admission.admit(route.endpoint, caller, address);
    whenAnswered(request, reply, request.admitted.leave);
    // While the token was checked: the place is given back, and nobody waits for an answer.
    if (request.raw.socket.destroyed)
      throw new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller has disconnected.');
    request.reading = true;
    return undefined;
  } catch (error) {
    if (route.verifier) admission.countFailed(addressIn(request, admission), error);
    endIfUnfinished(request, admission.patience, admission.limits.requestBodyMs);
    // Refuses through the pipeline, which counts and reports all calls.
    return serveRoute(route, doors, request, reply, { error, caller });
  }
}

/** Refuses an admitted request whose body could not be read, as `admit` refuses. */
export function refuseBody(
  route: Route,
  doors: Doors,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
): Promise<FastifyReply> {
  const { patience, limits } = doors.admission;
  endIfUnfinished(request, patience, limits.requestBodyMs);
  return serveRoute(route, doors, request, reply, { error, caller: request.admitted?.caller });
}

/** Headers of requests with another name than in gRPC. */
const restNames: Record<string, string> = {
  [headerNames.consistency]: 'consistency-token',
  [headerNames.readStrength]: 'read-strength',
};

const headerReader =
  ({ headers }: FastifyRequest): HeaderReader =>
  (name) => {
    const value = headers[restNames[name] ?? name];
    return Array.isArray(value) ? value[0] : value;
  };

/**
 * The caller of an admitted request, after its body is read. For a webhook, throws UNAUTHENTICATED if it is not signed.
 */
function callerOfAdmitted(
  { verifier }: Route,
  { admitted, signature, body }: FastifyRequest,
  admission: Admission,
): Caller {
  if (!verifier) return admitted!.caller!;
  try {
    return verifier.verify(signature!, bytesOf(body));
  } catch (error) {
    admission.countFailed(admitted!.address, error);
    throw error;
  }
}

/** The address that the request is from. */
export const addressIn = (request: FastifyRequest, admission: Admission): string =>
  admission.address(request.raw.socket.remoteAddress, headerReader(request));

const bytesOf = (body: unknown): Buffer => (body as Buffer | undefined) ?? Buffer.alloc(0);

/** Serves one request. `refusal`: it was not admitted, with this error; `caller` is undefined if it is not known who called. */
export async function serveRoute(
  route: Route,
  { pipeline, admission }: Pick<Doors, 'pipeline' | 'admission'>,
  request: FastifyRequest,
  reply: FastifyReply,
  refusal?: { error: unknown; caller: Caller | undefined },
): Promise<FastifyReply> {
  const { endpoint, rule, location: locationFrom } = route;
  const { contract } = endpoint;
  const header = headerReader(request);
  const { admitted } = request;
  request.reading = false;
  const isRead = rule.method === 'GET';
  const outcome = await pipeline.run(endpoint, {
    // One that is refused does no work, and may have lost its place with its connection.
    place: refusal ? undefined : admitted?.place,
    address: admitted?.address ?? addressIn(request, admission),
    refused: refusal?.caller,
    authenticate: () => (refusal ? Promise.reject(refusal.error) : callerOfAdmitted(route, request, admission)),
    header,
    whenGone: whenEmitted(reply.raw, 'close'),
    // A body has at most its route's bodyLimit, or was not read to its end.
    bytes: rule.body ? undefined : request.originalUrl.length,
    decode: () => {
      const body = bytesOf(request.body);
      admitted?.counted?.charge(body.length);
      const { params, url, headers } = request;
      return decodeRest(endpoint, rule, { params: params as Record<string, string>, url, headers, body });
    },
    encode: (response, { mask, etag, whole, isRemembered }) => {
      const { body, styleHash } = contract.page
        ? pageBody(response as Page)
        : bodyOnce(response as object, isRemembered && !mask, () => jsonBody(endpoint, response, mask));
      admitted?.place.answer(body.length, contract.noSideEffects);
      return {
        ...{ body, styleHash },
        etag: etag ?? validatorOf(contract, body),
        location: locationFrom?.(whole),
      };
    },
  });
  if (admitted && contract.rawBody && !outcome.ok) admission.countFailed(admitted.address, outcome.error);
  if (!outcome.ok) return sendProblem(request, reply, outcome.error, { id: outcome.requestId, contract });
  const { body, styleHash, etag, location } = outcome.answer;
  if (admitted?.counted) reply.headers(rateHeaders(admitted.counted.standing()));
  reply.header(headerNames.requestId, outcome.requestId);
  if (outcome.consistency) reply.header('consistency-token', outcome.consistency);
  if (outcome.age) reply.header('age', outcome.age);
  if (etag) reply.header('etag', `"${etag}"`);
  if (location) reply.header('location', location);
  const isChosen = header(headerNames.consistency) !== undefined || header(headerNames.readStrength) !== undefined;
  reply.header('cache-control', isRead ? cacheControl(contract, isChosen) : 'no-store');
  for (const name of variedBy(contract)) addVary(reply, name);
  // Before a 304 as well, since its headers replace those that a browser has kept.
  if (styleHash !== undefined) reply.headers(pageHeaders(styleHash));
  if (isRead && isConfirmed(contract) && etag && hasTag(header('if-none-match'), etag)) return reply.code(304).send();
  return reply
    .code(contract.successStatus)
    .type(contract.page ? pageType : 'application/json')
    .send(body);
}

interface Body {
  body: string;
  /** Of a page. */
  styleHash?: string;
}

const bodyOnce = encodeOnce<Body>();

function jsonBody({ contract, definition }: Endpoint, response: unknown, mask: Mask | undefined): Body {
  const json = bytesToJson(contract.response, definition.responseSerialize(response));
  return { body: JSON.stringify(mask ? maskJson(contract.response, json, mask) : json) };
}

const pageBody = ({ html, styleHash }: Page): Body => ({ body: html, styleHash });

function hasTag(header: string | undefined, etag: string): boolean {
  return !!header?.split(',').some((tag) => tag.trim() === '*' || unquoted(tag) === etag);
}
