/**
 * Methods whose requests and answers are streams. Each message is served like a call of its own, and has an answer of its own, in order; what
 * would be the error of a call is a field of its answer.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import type { Access } from './access.ts';
import type { HttpRule } from './http-rule.ts';

export interface MessageStream {
  /** The number of the answer's field `error`, a google.rpc.Status. */
  errorField: number;
}

/** The parts of the method that it follows from. */
export interface MessageStreamOf {
  path: string;
  kind: 'unary' | 'client_streaming' | 'server_streaming' | 'bidi_streaming';
  request: DescMessage;
  response: DescMessage;
  http: HttpRule[];
  access: Access;
}

/** Undefined for a method without streams. Throws an Error that names the method and what to change. */
export function messageStreamOf(of: MessageStreamOf): MessageStream | undefined {
  const { path, kind, request, response, http, access } = of;
  if (kind === 'unary') return undefined;
  if (kind !== 'bidi_streaming')
    throw new Error(`${path}: only both are streams, requests and answers: each message has an answer.`);
  if (http.length > 0) throw new Error(`${path}: a stream has no REST route: remove (google.api.http).`);
  if (access.authentication !== 'TOKEN' && access.authentication !== 'SERVICE')
    throw new Error(`${path}: the caller of a stream shows a token.`);
  if (request.fields.some(({ name }) => name === 'request_id'))
    throw new Error(`${path}: the messages of a stream have no request_id: a repeat of one must do no harm.`);
  const error = response.fields.find(({ name }) => name === 'error');
  if (error?.fieldKind !== 'message' || error.message.typeName !== 'google.rpc.Status')
    throw new Error(`${path}: ${response.typeName} needs a field "error" of type google.rpc.Status.`);
  return { errorField: error.number };
}
