/** Serves endpoints over gRPC. */

import { CaudalError } from '@caudal/kernel/errors.ts';
import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Authenticate } from './auth.ts';
import type { Endpoint } from './endpoint.ts';
import { toStatus } from './errors.ts';
import { names } from './headers.ts';
import type { Pipeline } from './pipeline.ts';

export interface GrpcLimits {
  maxMessageBytes: number;
  maxConcurrent: number;
  /** After this time a connection is told to go elsewhere, so that balancing follows new servers; milliseconds. */
  maxConnectionAgeMs: number;
  /** How long its calls may still take then; milliseconds. */
  maxConnectionAgeGraceMs: number;
}

type Definition = Record<string, MethodDefinition<Buffer, Buffer>>;

/** The server for these endpoints; it listens nowhere yet. */
export function grpcServer(
  endpoints: Endpoint[],
  pipeline: Pipeline,
  authenticate: Authenticate,
  limits: GrpcLimits,
): Server {
  const server = new Server({
    'grpc.max_receive_message_length': limits.maxMessageBytes,
    'grpc.max_send_message_length': limits.maxMessageBytes * 4,
    // A little more than are served: the rest is refused with a reason, instead of waiting unseen in clients.
    'grpc.max_concurrent_streams': limits.maxConcurrent + 100,
    'grpc.max_connection_age_ms': limits.maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': limits.maxConnectionAgeGraceMs,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.enable_channelz': 0,
  });
  const services = new Map<string, { definition: Definition; handlers: UntypedServiceImplementation }>();
  for (const endpoint of endpoints) {
    const { service, name, path } = endpoint.contract;
    const known = services.get(service) ?? { definition: {}, handlers: {} };
    services.set(service, known);
    // Bytes in, bytes out: the pipeline decodes and encodes, so that it can say what is wrong.
    const same = (bytes: Buffer) => bytes;
    known.definition[name] = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    known.handlers[name] = handlerOf(endpoint, pipeline, authenticate);
  }
  for (const { definition, handlers } of services.values()) server.addService(definition, handlers);
  return server;
}

/** grpc-js says `cancelled` at the end of every call: a reason of its own would be an exception, with its stack, for each. */
const ended = new Error('The call has ended.');

function handlerOf(
  endpoint: Endpoint,
  pipeline: Pipeline,
  authenticate: Authenticate,
): handleUnaryCall<Buffer, Buffer> {
  const { definition } = endpoint;
  return async (call, callback) => {
    const gone = new AbortController();
    call.once('cancelled', () => gone.abort(ended));
    const header = (name: string) => {
      const [value] = call.metadata.get(name);
      return typeof value === 'string' ? value : undefined;
    };
    const deadline = call.getDeadline();
    const outcome = await pipeline.run(endpoint, {
      counted: true,
      authenticate: () => authenticate(header(names.authorization)),
      header,
      signal: gone.signal,
      deadline: deadline === Number.POSITIVE_INFINITY ? undefined : new Date(deadline),
      decode: () => decode(() => definition.requestDeserialize(call.request)),
      encode: (response) => definition.responseSerialize(response),
    });
    const metadata = new Metadata();
    metadata.set(names.requestId, outcome.requestId);
    if (!outcome.ok) {
      callback(toStatus(outcome.error, metadata));
      return;
    }
    if (outcome.consistency) metadata.set(names.consistency, outcome.consistency);
    call.sendMetadata(metadata);
    callback(null, outcome.answer);
  };
}

function decode(read: () => unknown): unknown {
  try {
    return read();
  } catch (cause) {
    throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', 'The request is no message of the expected type.', {
      cause,
    });
  }
}
