/** What the answer to a request depends on (RFC 9110, 12.5.5), for caches. */
import type { FastifyReply } from 'fastify';

/** Names a header of requests that the answer depends on, beside those that are named already. */
export function addVary(reply: FastifyReply, name: string): void {
  const before = reply.getHeader('vary');
  reply.header('vary', before ? `${before}, ${name}` : name);
}
