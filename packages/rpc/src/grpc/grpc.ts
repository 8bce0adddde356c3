/** Serves endpoints over gRPC. */

import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerInterceptingCall,
  type ServerInterceptor,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import { headerNames } from '../headers.ts';
import type { Authenticate } from '../server/auth.ts';
import { callerOf } from '../server/caller.ts';
import { whenEmitted } from '../server/deadline.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { boundOf, tooLarge } from '../server/request-size.ts';
import { takeGrpcLog } from './grpc-log.ts';
import { boundMessages } from './message-bound.ts';

export interface GrpcLimits {
  /** The bytes of a request, for methods whose contract says nothing of it; four times as much of an answer. */
  maxMessageBytes: number;
  maxConcurrent: number;
  /** After this time a connection is told to go elsewhere, so that balancing follows new servers; milliseconds. */
  maxConnectionAgeMs: number;
  /** The longest deadline that is granted, in milliseconds. */
  maxTimeoutMs: number;
}

/** What a call may take beyond its deadline until its answer has left, in milliseconds. */
const answerMs = 5_000;

/**
 * Calls of a connection beyond those that are served. They are refused with a reason, instead of waiting unseen in clients.
 * Far more than that takes: Node counts a stream a moment longer than HTTP/2 does, so a client that keeps within a bound that
 * it comes close to has calls rejected (ENHANCE_YOUR_CALM, without a reason), and after a hundred of them the connection is
 * cut, with all that is in flight on it. With 100, a server with too little of a core lost three connections in ten seconds.
 */
const spareStreams = 4_000;

type Definition = Record<string, MethodDefinition<Buffer, Buffer>>;

/** The server for these endpoints; it listens nowhere yet. */
export function grpcServer(
  endpoints: Endpoint[],
  pipeline: Pipeline,
  authenticate: Authenticate,
  limits: GrpcLimits,
): Server {
  takeGrpcLog();
  // Of any message, of health and reflection too; each call has its method's own.
  const bounds = endpoints.map(({ contract }) => boundOf(contract, limits.maxMessageBytes));
  const server = new Server({
    interceptors: [admission(endpoints, pipeline, authenticate, limits)],
    'grpc.max_receive_message_length': bounds.length > 0 ? Math.max(...bounds) : limits.maxMessageBytes,
    'grpc.max_send_message_length': limits.maxMessageBytes * 4,
    'grpc.max_concurrent_streams': limits.maxConcurrent + spareStreams,
    'grpc.max_connection_age_ms': limits.maxConnectionAgeMs,
    // Then it is cut: not before the last of its calls had all of its time.
    'grpc.max_connection_age_grace_ms': limits.maxTimeoutMs + answerMs,
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
    known.handlers[name] = handlerOf(endpoint, pipeline);
  }
  for (const { definition, handlers } of services.values()) server.addService(definition, handlers);
  return server;
}

const readerOf = (metadata: Metadata) => (name: string) => {
  const [value] = metadata.get(name);
  return typeof value === 'string' ? value : undefined;
};

/** Whose call it is, noted on its metadata: an entry of a WeakMap costs the garbage collector more than all of this. */
const noted = Symbol('caller');
type Noted = Metadata & { [noted]?: Caller };

/**
 * Looks at a call before its message is read: who is not known, or is one too many, is answered at once, so that nobody
 * can make the server hold what it will not serve. Notes the caller.
 */
function admission(
  endpoints: Endpoint[],
  pipeline: Pipeline,
  authenticate: Authenticate,
  { maxMessageBytes }: GrpcLimits,
): ServerInterceptor {
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.contract.path, endpoint]));
  return ({ path }, call) => {
    const endpoint = byPath.get(path);
    // Health and reflection are for everybody.
    if (!endpoint) return new ServerInterceptingCall(call);

    /** Through the pipeline, which counts and reports it as it does every call. */
    const refuse = async (metadata: Metadata, error: unknown) => {
      const refused = { counted: true, header: readerOf(metadata), authenticate: () => Promise.reject(error) };
      const outcome = await pipeline.run(endpoint, { ...refused, decode: () => undefined, encode: () => undefined });
      if (!outcome.ok) call.sendStatus(toStatus(outcome.error, replyMetadata(outcome.requestId)));
    };
    const look = (metadata: Noted, admit: (metadata: Metadata) => void) => {
      const refusal = pipeline.full();
      if (refusal) return refuse(metadata, refusal);
      const note = (caller: Caller) => {
        metadata[noted] = caller;
        const bound = boundOf(endpoint.contract, maxMessageBytes);
        boundMessages(call, bound, () => void refuse(metadata, tooLarge(bound)));
        admit(metadata);
      };
      let caller: Caller | Promise<Caller>;
      try {
        caller = callerOf(endpoint, readerOf(metadata), authenticate);
      } catch (error) {
        return refuse(metadata, error);
      }
      return caller instanceof Promise ? caller.then(note, (error) => refuse(metadata, error)) : note(caller);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onReceiveMetadata: (metadata, admit) => void look(metadata, admit) }),
    });
  };
}

function replyMetadata(requestId: string): Metadata {
  const metadata = new Metadata();
  metadata.set(headerNames.requestId, requestId);
  return metadata;
}

function handlerOf(endpoint: Endpoint, pipeline: Pipeline): handleUnaryCall<Buffer, Buffer> {
  const { definition } = endpoint;
  return async (call, callback) => {
    const deadline = call.getDeadline();
    const outcome = await pipeline.run(endpoint, {
      counted: true,
      authenticate: () => (call.metadata as Noted)[noted]!,
      header: readerOf(call.metadata),
      whenGone: whenEmitted(call, 'cancelled'),
      deadline: deadline === Number.POSITIVE_INFINITY ? undefined : new Date(deadline),
      bytes: call.request.length,
      decode: () => decode(() => definition.requestDeserialize(call.request)),
      encode: (response) => definition.responseSerialize(response),
    });
    const metadata = replyMetadata(outcome.requestId);
    if (!outcome.ok) {
      callback(toStatus(outcome.error, metadata));
      return;
    }
    if (outcome.consistency) metadata.set(headerNames.consistency, outcome.consistency);
    if (outcome.age) metadata.set(headerNames.age, outcome.age);
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
