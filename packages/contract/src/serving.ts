/**
 * How a method is served: reads and checks `(caudal.success_status)`, `(caudal.max_request_bytes)`, `(caudal.max_bytes_in_flight)`,
 * `(caudal.rate_limit)`.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import type { Access } from './access.ts';
import type { HttpRule } from './http-rule.ts';

const successStatuses = [200, 201, 202] as const;
export type SuccessStatus = (typeof successStatuses)[number];

/** The classes of rate limits, in the order of caudal.RateLimit's numbers from 1. */
export const rateLimits = ['DEFAULT', 'LIGHT', 'HEAVY', 'WEBHOOK', 'UNLIMITED'] as const;
export type RateLimit = (typeof rateLimits)[number];

/** The most for any method. It is also the largest message that Caudal's own clients accept. */
export const hardMaxRequestBytes = 16 * 1024 * 1024;
/** The most for methods without a token, whose requests are read before the caller is known. */
export const maxRequestBytesWithoutToken = 1024 * 1024;

export interface Serving {
  /** The HTTP status of success. */
  successStatus: SuccessStatus;
  /** With 201: the route of the new resource, `/v1/orders/{order_id}`. Its fields are fields of the answer. */
  location?: string;
  /** The most bytes of a request; undefined: the server's own bound. */
  maxRequestBytes: number | undefined;
  /** The most bytes of calls in flight; undefined: the server's own bound. */
  maxBytesInFlight: number | undefined;
  rateLimit: RateLimit;
}

/** The values of the options; undefined if absent. */
export interface ServingOptions {
  successStatus: number | undefined;
  maxRequestBytes: number | undefined;
  maxBytesInFlight: number | undefined;
  rateLimit: number | undefined;
}

/** The parts of the method that its options must fit. */
export interface ServingOf {
  path: string;
  http: HttpRule[];
  access: Access;
  response: DescMessage;
  /** The GET routes of the whole contract. */
  readable: string[];
}

/** Reads the options. Throws an Error that names the method and what to change. */
export function servingOf(options: ServingOptions, of: ServingOf): Serving {
  const { path } = of;
  const successStatus = statusOf(options.successStatus ?? 200, of);
  const rateLimit = rateLimits[(options.rateLimit || 1) - 1];
  if (!rateLimit) throw new Error(`${path}: ${options.rateLimit} is an unknown rate limit.`);
  const { maxBytesInFlight } = options;
  if (maxBytesInFlight !== undefined && maxBytesInFlight < 1)
    throw new Error(`${path}: max_bytes_in_flight must be 1 or more, not ${maxBytesInFlight}.`);
  return {
    successStatus,
    location: successStatus === 201 ? locationOf(of) : undefined,
    maxRequestBytes: boundOf(options.maxRequestBytes, of),
    maxBytesInFlight,
    rateLimit,
  };
}

function statusOf(status: number, { path, http }: ServingOf): SuccessStatus {
  const known = successStatuses.find((each) => each === status);
  if (!known) throw new Error(`${path}: success_status is one of ${successStatuses.join(', ')}, not ${status}.`);
  if (known === 200) return known;
  if (http.length === 0)
    throw new Error(`${path}: success_status ${status} has no effect without a REST route: remove it.`);
  if (http.some(({ method }) => method === 'GET'))
    throw new Error(`${path}: a GET route answers 200, not ${status}: remove success_status.`);
  return known;
}

/** RFC 9110: a 201 without Location says that the new resource is at the URL of the request, which is not true here. */
function locationOf({ path, http, response, readable }: ServingOf): string {
  const [first] = http;
  const fields = new Set(response.fields.map(({ name }) => name));
  const found = readable.find((template) => {
    if (!template.startsWith(`${first!.template}/{`) || !/^\{\w+\}$/.test(template.slice(first!.template.length + 1)))
      return false;
    return [...template.matchAll(/\{(\w+)\}/g)].every(([, name]) => fields.has(name!));
  });
  if (http.length > 1 || first!.method !== 'POST' || !found)
    throw new Error(
      `${path}: 201 needs one POST route and a GET route below it, ${first!.template}/{<field of ${response.name}>}, as its Location.`,
    );
  return found;
}

function boundOf(bytes: number | undefined, { path, access }: ServingOf): number | undefined {
  const withToken = access.authentication === 'TOKEN' || access.authentication === 'SERVICE';
  const most = withToken ? hardMaxRequestBytes : maxRequestBytesWithoutToken;
  if (bytes === undefined && !withToken)
    throw new Error(
      `${path}: its callers send no token, so their requests are read: set max_request_bytes, ${most} at most.`,
    );
  if (bytes !== undefined && !(bytes >= 1 && bytes <= most))
    throw new Error(`${path}: max_request_bytes must be from 1 to ${most}, not ${bytes}.`);
  return bytes;
}
