/** Calls a service over gRPC. */
import { contract } from '@caudal/contract/descriptors.ts';
import type { Method } from '@caudal/contract/method.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { connectivityState, Client as GrpcClient, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type Context, context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { fromStatus } from '../errors.ts';
import { takeGrpcLog } from '../grpc/grpc-log.ts';
import { extractTrace, headerNames, injectTrace } from '../headers.ts';
import { encodeConsistency } from '../server/consistency-token.ts';
import type { TokenSource } from '../server/tokens.ts';
import type { CallOptions, Client } from '../types.ts';
import { balancingConfig } from './balancer.ts';
import type { Balancing } from './balancing.ts';
import { type CallTls, channelTls } from './call-tls.ts';

export interface ConnectOptions {
  /** `inventory:9090`, or `dns:///inventory:9090` to balance over all addresses of the name. */
  address: string;
  /** Returns the token to send; absent if the server requires none. */
  auth?: TokenSource;
  /** Absent: the connection is plain. */
  tls?: CallTls | undefined;
  /** How it chooses among the addresses; absent: each in turn. */
  balancing?: Balancing | undefined;
}

export const defaultTimeoutMs = 5_000;

/** A client of the service with this definition. It connects at the first call, and reconnects when needed. */
export function connect<Definition extends object>(
  definition: Definition,
  { address, auth, tls, balancing = { policy: 'round-robin' } }: ConnectOptions,
): Client<Definition> & { close(): void } {
  takeGrpcLog();
  const methods = (Object.entries(definition) as [string, Method][]).filter(([, { requestStream }]) => !requestStream);
  const peer = peerOf(methods);
  const paths = methods.map(([, { path }]) => path);
  const withRequestId = new Set(paths.filter(hasRequestId));
  const safe = new Set(paths.filter(isRepeatable));
  const secure = channelTls(tls);
  const channel = new GrpcClient(address, secure.credentials, {
    ...secure.options,
    'grpc.service_config': JSON.stringify(serviceConfigOf([...safe], balancing)),
    'grpc.service_config_disable_resolution': 1,
    // A proxy of the environment would get tokens of services, and can't reach them.
    'grpc.enable_http_proxy': 0,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    // A server that returns is found within 5 s.
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 5_000,
    // So is a server that returns at another address, as pods do. By default grpc-js asks DNS only once in 30 s.
    'grpc.dns_min_time_between_resolutions_ms': 1_000,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    'grpc.enable_channelz': 0,
  });

  const call = async (method: Method, request: object, options: CallOptions = {}): Promise<unknown> => {
    const deadline = deadlineOf(options);
    const parent = trace.getActiveSpan() ? context.active() : traceOf(options);
    const span = trace
      .getTracer('caudal')
      .startSpan(
        method.path.slice(1),
        { kind: SpanKind.CLIENT, attributes: { 'rpc.system': 'grpc', 'server.address': address } },
        parent,
      );
    try {
      const metadata = metadataFor(options, trace.setSpan(parent, span));
      if (auth) metadata.set(headerNames.authorization, `Bearer ${await auth()}`);
      const message = withRequestId.has(method.path) && !options.idempotent ? repeatable(request) : request;
      const once = () => send(method, message, metadata, { ...options, deadline });
      return await once().catch((error: unknown) => {
        if (!safe.has(method.path) || !isLost(error)) throw error;
        return once();
      });
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error).message });
      throw error;
    } finally {
      span.end();
    }
  };

  const send = (
    { path, requestSerialize, responseDeserialize }: Method,
    request: object,
    metadata: Metadata,
    { signal, deadline, onConsistencyToken }: CallOptions & { deadline: Date },
  ) =>
    new Promise((resolve, reject) => {
      const sent = channel.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, response) => {
          signal?.removeEventListener('abort', cancel);
          if (error) reject(explain(error, signal?.aborted));
          else resolve(response);
        },
      );
      if (onConsistencyToken)
        sent.on('metadata', (headers: Metadata) => {
          const [token] = headers.get(headerNames.consistency);
          if (typeof token === 'string') onConsistencyToken(token);
        });
      const cancel = () => sent.cancel();
      if (signal?.aborted) cancel();
      else signal?.addEventListener('abort', cancel, { once: true });
    });

  // A call that waited for a connection until its deadline was never sent: the peer is unreachable, not slow.
  const explain = (error: ServiceError, gaveUp = false) =>
    error.code === status.DEADLINE_EXCEEDED &&
    channel.getChannel().getConnectivityState(false) !== connectivityState.READY
      ? unavailable(peer, error)
      : fromStatus(error, peer, gaveUp);

  const functions = methods.map(([name, method]) => [
    name,
    (request: object, options?: CallOptions) => call(method, request, options),
  ]);
  return { ...Object.fromEntries(functions), close: () => channel.close() };
}

/** The peer's name for messages: `inventory` of `/caudal.inventory.v1.InventoryService/ReserveStock`. */
function peerOf([first]: [string, Method][]): string {
  return first?.[1].path.split('.')[1] ?? 'The service';
}

/** When to stop waiting: the timeout, 5 s if absent, but never after the deadline. */
export function deadlineOf({ timeoutMs = defaultTimeoutMs, deadline }: CallOptions): Date {
  const end = Date.now() + timeoutMs;
  return new Date(Math.min(end, deadline?.getTime() ?? end));
}

function traceOf({ origin }: CallOptions): Context {
  return extractTrace((name) => (name === 'traceparent' ? origin?.traceparent || undefined : undefined));
}

/** The headers of a request, without the token. */
export function headersFor({ origin, consistency, consistencyToken }: CallOptions): Record<string, string> {
  const token = consistencyToken ?? encodeConsistency(consistency ?? []);
  return {
    ...(origin && { [headerNames.causationId]: origin.causationId, [headerNames.correlationId]: origin.correlationId }),
    ...(token && { [headerNames.consistency]: token }),
  };
}

function metadataFor(options: CallOptions, traced: Context): Metadata {
  const metadata = new Metadata();
  const headers = { ...injectTrace(traced), ...headersFor(options), [headerNames.requestId]: newId() };
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

const hasRequestId = (path: string) =>
  contract()
    .method(path)
    .request.fields.some(({ name }) => name === 'request_id');

/** Adds a new request_id to a command without one, so that a repeat after a lost answer has no second effect. */
function repeatable(request: object): object {
  return (request as { requestId?: string }).requestId === '' ? { ...request, requestId: newId() } : request;
}

/** Queries, and commands that have a request_id. */
const isRepeatable = (path: string) => contract().method(path).noSideEffects || hasRequestId(path);

/**
 * Whether the call's stream ended without a status, as happens when a server ends. grpc-js repeats only UNAVAILABLE,
 * and reports this as INTERNAL, UNKNOWN or CANCELLED. So it is repeated here, once.
 */
function isLost(error: unknown): boolean {
  const cause =
    error instanceof CaudalError && error.code === 'UNAVAILABLE' ? (error.cause as ServiceError) : undefined;
  return cause?.code === status.INTERNAL || cause?.code === status.UNKNOWN || cause?.code === status.CANCELLED;
}

/**
 * Repeats calls where this is safe: queries, and commands with a request_id, and only if there was no answer. The
 * throttle stops repeats while many calls fail, so that they do not overload a server that has just returned.
 */
function serviceConfigOf(safe: string[], balancing: Balancing) {
  return {
    loadBalancingConfig: [balancingConfig(balancing)],
    methodConfig:
      safe.length === 0
        ? []
        : [
            {
              name: safe.map((path) => {
                const [, service, method] = path.split('/');
                return { service, method };
              }),
              retryPolicy: {
                maxAttempts: 3,
                initialBackoff: '0.05s',
                maxBackoff: '0.5s',
                backoffMultiplier: 2,
                retryableStatusCodes: ['UNAVAILABLE'],
              },
            },
          ],
    retryThrottling: { maxTokens: 20, tokenRatio: 0.1 },
  };
}
