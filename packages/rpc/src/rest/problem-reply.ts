/** Sends problem+json, or a page to browsers. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { headerNames, idHeader } from '../headers.ts';
import { RateLimited, rateHeaders } from '../server/rate-limits.ts';
import { problemPage } from './html-page.ts';
import { toProblem } from './problem.ts';

/**
 * Answers with the problem of an error. `id` is the request's, if it is known already; `contract`: that of its method, which may answer with
 * pages.
 */
export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  error: CaudalError,
  { id, contract }: { id?: string; contract?: MethodContract } = {},
): FastifyReply {
  const requestId =
    id ?? idHeader((name) => request.headers[name] as string | undefined, headerNames.requestId) ?? newId();
  const problem = toProblem(error, requestId);
  reply.header(headerNames.requestId, requestId).header('cache-control', 'no-store');
  if (problem.status === 401)
    reply.header('www-authenticate', error.reason.startsWith('SIGNATURE_') ? 'Webhook-Signature' : 'Bearer');
  const standing = error instanceof RateLimited ? error.standing : request.admitted?.counted?.standing();
  if (standing) reply.headers(rateHeaders(standing));
  if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
  reply.code(problem.status);
  const page = contract && problemPage(contract, request, reply, problem);
  if (page !== undefined) return reply.send(page);
  return reply.type('application/problem+json').send(JSON.stringify(problem));
}
