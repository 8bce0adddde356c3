/** Calls over REST and gRPC by independent clients, each with everything that its answer holds. */
import { fromStatus } from '@caudal/rpc/errors.ts';
import { bytesToJson, jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type Api, type Json, methodNamed, type Reply, roleOf } from '../e2e/api.ts';

export interface Answer {
  via: 'rest' | 'grpc';
  /** By performance.now(). */
  began: number;
  ended: number;
  /**
   * gRPC's code, which REST's problems have too: `OK`, `UNAVAILABLE`. `LOST`: the connection broke, or there was no
   * answer.
   */
  code: string;
  reason: string;
  /** Retry-After or RetryInfo; undefined if the answer has none. */
  retryAfterMs: number | undefined;
  /** The age of a cached answer, in seconds. */
  age: number | undefined;
  /** What is wrong with the form of an error; absent if it is right. */
  malformed?: string;
  body: Json;
}

export type Call = (method: string, request: Json) => Promise<Answer>;

export interface Callers {
  rest: Call;
  grpc: Call;
  close(): void;
}

/** The deadline that gRPC callers send, which is REST's default. */
export const deadlineMs = 5_000;
/** No call waits for longer than this, whatever the server does. */
const lostMs = 15_000;

export interface CallersOptions {
  api: Api;
  /** `host:port` of all processes of a role; calls alternate between them. */
  grpcOf(role: 'command' | 'query'): string[];
  token: string;
}

/** Neither repeats a call by itself. */
export function openCallers({ api, grpcOf, token }: CallersOptions): Callers {
  const clients = { command: open('command'), query: open('query') };
  let calls = 0;

  function open(role: 'command' | 'query'): Client[] {
    return grpcOf(role).map(
      (address) =>
        new Client(address, credentials.createInsecure(), {
          'grpc.enable_retries': 0,
          'grpc.max_reconnect_backoff_ms': 1_000,
        }),
    );
  }

  return {
    async rest(method, request) {
      const began = performance.now();
      const reply = await api.send(method, request, { timeoutMs: lostMs }).catch((error: unknown) => error as Error);
      const timed = { via: 'rest' as const, began, ended: performance.now() };
      if (reply instanceof Error) return { ...timed, ...lost(reply.message) };
      return { ...timed, ...(reply.status < 400 ? restAnswer(reply) : restProblem(reply)) };
    },
    async grpc(method, request) {
      const began = performance.now();
      const ends = clients[roleOf(methodNamed(method))];
      calls += 1;
      const seen = await overGrpc(ends[calls % ends.length]!, method, request, token);
      return { via: 'grpc', began, ended: performance.now(), ...seen };
    },
    close() {
      for (const client of [...clients.command, ...clients.query]) client.close();
    },
  };
}

type Seen = Omit<Answer, 'via' | 'began' | 'ended'>;

const lost = (message: string): Seen => ({
  code: 'LOST',
  reason: '',
  retryAfterMs: undefined,
  age: undefined,
  malformed: message,
  body: undefined,
});

function restAnswer({ headers, body }: Reply): Seen {
  const age = headers.get('age');
  return { code: 'OK', reason: '', retryAfterMs: undefined, age: age === null ? undefined : Number(age), body };
}

function restProblem({ status, headers, body }: Reply): Seen {
  const retryAfter = headers.get('retry-after');
  return {
    code: body?.code ?? `HTTP ${status}`,
    reason: body?.reason ?? '',
    retryAfterMs: retryAfter === null ? undefined : Number(retryAfter) * 1000,
    age: undefined,
    malformed: malformedProblem(status, headers.get('content-type'), body),
    body,
  };
}

/** How a problem violates RFC 9457 and docs/api.md. */
export function malformedProblem(status: number, contentType: string | null, body: Json): string | undefined {
  if (!contentType?.startsWith('application/problem+json')) return `the type is ${contentType}`;
  if (body?.status !== status) return `status is ${body?.status}, the answer's ${status}`;
  const wants = { type: /^urn:caudal:reason:[A-Z_]+$/, title: /./, detail: /./, instance: /^urn:caudal:request:./ };
  for (const [name, pattern] of Object.entries(wants))
    if (!pattern.test(String(body[name] ?? ''))) return `${name} is ${body[name]}`;
  return undefined;
}

/** The same over gRPC: exactly what is on the wire, without defaults for missing parts. */
function overGrpc(client: Client, name: string, request: Json, token: string): Promise<Seen> {
  const { path, request: type, response } = methodNamed(name);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const asItIs = (bytes: Buffer) => bytes;
  const bytes = Buffer.from(jsonToBytes(type, request));
  return new Promise((resolve) => {
    let age: number | undefined;
    const deadline = Date.now() + deadlineMs;
    const call = client.makeUnaryRequest(path, asItIs, asItIs, bytes, metadata, { deadline }, (error, answer) => {
      if (error) resolve(grpcError(error, path));
      else {
        const body = bytesToJson(response, answer!);
        resolve({ code: 'OK', reason: '', retryAfterMs: undefined, age, body });
      }
    });
    call.on('metadata', (received) => {
      const [value] = received.get('caudal-age');
      if (value !== undefined) age = Number(value);
    });
  });
}

function grpcError(error: ServiceError, path: string): Seen {
  const { reason, retryAfterMs } = fromStatus(error, path);
  const hasDetails = error.metadata?.get('grpc-status-details-bin')[0] instanceof Buffer;
  return {
    code: status[error.code] ?? String(error.code),
    reason: hasDetails ? reason : '',
    retryAfterMs: hasDetails ? retryAfterMs : undefined,
    age: undefined,
    malformed: hasDetails ? undefined : `no google.rpc.Status beside "${error.details}"`,
    body: { message: error.details },
  };
}
