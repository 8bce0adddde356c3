/** What HTTP requests get that are so broken that no request comes of them: they never reach fastify's own handlers. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { headerNames } from '../headers.ts';
import { toProblem } from '../rest/problem.ts';

/** Answers with problem+json and ends the connection: nobody knows where the next request would begin. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  // A connection that was reset hears nothing, and one with an answer under way must not get a second.
  if (error.code === 'ECONNRESET' || !socket.writable || hasAnswer(socket)) {
    socket.destroy();
    return;
  }
  endWithProblem(socket, whatIsWrong(error.code));
}

/** Answers CONNECT, which else ends the connection without a word. */
export function answerConnect(_request: unknown, socket: Duplex): void {
  endWithProblem(socket, malformed('CONNECT is for proxies, and this is none.'));
}

function endWithProblem(socket: Duplex, error: CaudalError): void {
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
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

/** Node keeps the response of the socket's present request there, for just this question. */
function hasAnswer(socket: Socket): boolean {
  return (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent ?? false;
}

function whatIsWrong(code: string | undefined): CaudalError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new CaudalError('INVALID_ARGUMENT', 'HEADERS_TOO_LARGE', 'The address and the headers are too long.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new CaudalError('DEADLINE_EXCEEDED', 'REQUEST_TIMEOUT', 'The request did not arrive in time.');
  return malformed('This is no HTTP request.');
}

const malformed = (message: string) => new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message);
