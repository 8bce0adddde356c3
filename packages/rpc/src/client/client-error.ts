/** Answers HTTP that is too broken to be a request. fastify's own handlers do not get it. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { headerNames } from '../headers.ts';
import { toProblem } from '../rest/problem.ts';
import { secureHeaders } from '../rest/secure-headers.ts';

/** Answers with problem+json and ends the connection, since the start of the next request is unknown. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  // A connection that was reset or has no TLS yet can't be answered, and one with an answer in progress must not get a second.
  const isLost = /^(ECONNRESET|EPROTO|ERR_SSL_|ERR_TLS_)/.test(error.code ?? '');
  if (isLost || !socket.writable || hasAnswer(socket)) {
    socket.destroy();
    return;
  }
  endWithProblem(socket, whatIsWrong(error.code));
}

/** Answers CONNECT. Without this, Node ends the connection without an answer. */
export function answerConnect(_request: unknown, socket: Duplex): void {
  endWithProblem(socket, malformed('CONNECT is for proxies, and this server is not one.'));
}

/** Answers a connection that has no request yet with a problem, and ends it. */
export function endWithProblem(socket: Duplex, error: CaudalError): void {
  const requestId = newId();
  const problem = toProblem(error, requestId);
  const body = JSON.stringify(problem);
  socket.end(
    [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `${headerNames.requestId}: ${requestId}`,
      'Cache-Control: no-store',
      ...Object.entries(secureHeaders).map(([name, value]) => `${name}: ${value}`),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

/** Node keeps the response of the socket's current request in this property. */
function hasAnswer(socket: Socket): boolean {
  return (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent ?? false;
}

function whatIsWrong(code: string | undefined): CaudalError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new CaudalError('INVALID_ARGUMENT', 'HEADERS_TOO_LARGE', 'The address and the headers are too long.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new CaudalError('DEADLINE_EXCEEDED', 'REQUEST_TIMEOUT', 'The request did not arrive in time.');
  return malformed('This is not an HTTP request.');
}

const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);
