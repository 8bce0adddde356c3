/** Headers that every answer of the REST port has, also errors, 404s, and answers to what is no request. */
import type { IncomingMessage, Server } from 'node:http';
import { TLSSocket } from 'node:tls';

/** Pages have a policy of their own, which replaces this one. */
export const secureHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
} as const;

/**
 * Adds them before fastify has the request, so that no path through it leaves them out. `hstsSeconds`: for how long a browser
 * comes back by HTTPS only, once it came by HTTPS; 0 lets it forget that.
 */
export function addSecureHeaders(server: Server, hstsSeconds: number): void {
  const hsts = `max-age=${hstsSeconds}`;
  server.prependListener('request', (request, response) => {
    for (const [name, value] of Object.entries(secureHeaders)) response.setHeader(name, value);
    if (cameByHttps(request) && isOwnHost(request)) response.setHeader('strict-transport-security', hsts);
  });
}

/**
 * Whether the caller uses HTTPS, up to here or up to a gateway. Anyone may write the gateway's header, and gets a header
 * in its own answer for that, which browsers ignore over HTTP: so no list of trusted gateways is needed.
 */
function cameByHttps({ socket, headers }: IncomingMessage): boolean {
  return socket instanceof TLSSocket || headers['x-forwarded-proto'] === 'https';
}

/** Browsers keep it for a name with all of its ports, and a developer's other servers are on localhost, too. */
function isOwnHost({ headers: { host = '' } }: IncomingMessage): boolean {
  return !/^(([\w-]+\.)*localhost|[\d.]+|\[.*\])(:\d+)?$/i.test(host);
}
