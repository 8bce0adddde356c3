/** Serves endpoints over gRPC. */

import type { Caller } from '@caudal/kernel/context.ts';
import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { toClientError, toStatus } from '../errors.ts';
import { forwardMethod } from '../forward/frames.ts';
import type { Receiver } from '../forward/receiver.ts';
import { addressOf, headerNames } from '../headers.ts';
import type { Authenticate } from '../server/auth.ts';
import { callerOf } from '../server/caller.ts';
import { checkClientCertificate } from '../server/client-certificate.ts';
import { whenEmitted } from '../server/deadline.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { boundOf, tooLarge } from '../server/request-size.ts';
import { decode } from './decode.ts';
import { takeGrpcLog } from './grpc-log.ts';
import { boundMessages } from './message-bound.ts';

export interface GrpcLimits {
  /** The most bytes of a request, for methods without a bound in the contract. Answers may be four times as long. */
  maxMessageBytes: number;
  maxConcurrent: number;
  /** The age at which a connection gets GOAWAY, so that balancing finds new servers; in milliseconds. */
  maxConnectionAgeMs: number;
  /** The longest deadline of a call, in milliseconds. */
  maxTimeoutMs: number;
}

/** The time after a call's deadline in which its answer can still be sent, in milliseconds. */
const answerMs = 5_000;

/**
 * Calls of a connection above `maxConcurrent`. They are refused with a reason, instead of waiting unseen in clients.
 * Why it must be so many: see README, Spare streams.
 */
const spareStreams = 4_000;

type Definition = Record<string, MethodDefinition<Buffer, Buffer>>;

/** The overhead of a request in a message of forwarded calls: its headers, the token among them. */
const envelopeBytes = 64 * 1024;

/**
 * The server for these endpoints, and for calls that other processes forward if there is a receiver. It does not listen yet.
 * `clientName`: the name in the client certificates that calls of services need; absent: they need none.
 */
export function grpcServer(
  endpoints: Endpoint[],
  pipeline: Pipeline,
  authenticate: Authenticate,
  limits: GrpcLimits,
  receiver?: Receiver,
  clientName?: string,
): Server {
  takeGrpcLog();
  // The largest bound, for all messages, also of health and reflection. Each call then gets its own method's bound.
  const bounds = endpoints.map(({ contract }) => boundOf(contract, limits.maxMessageBytes));
  const server = new Server({
    interceptors: [admission(endpoints, pipeline, authenticate, limits, { receiver, clientName })],
    'grpc.max_receive_message_length':
      (bounds.length > 0 ? Math.max(...bounds) : limits.maxMessageBytes) + (receiver ? envelopeBytes : 0),
    'grpc.max_send_message_length': limits.maxMessageBytes * 4,
    'grpc.max_concurrent_streams': limits.maxConcurrent + spareStreams,
    'grpc.max_connection_age_ms': limits.maxConnectionAgeMs,
    // After this time the connection is cut. By then the last of its calls has had its full deadline.
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
    // grpc-js passes bytes through. The pipeline decodes and encodes, so that it can report errors.
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
  if (receiver) server.addService({ Forward: forwardMethod }, { Forward: receiver.serve });
  return server;
}

const readerOf = (metadata: Metadata) => (name: string) => {
  const [value] = metadata.get(name);
  return typeof value === 'string' ? value : undefined;
};

/** The caller, kept on the metadata: an entry of a WeakMap would cost the garbage collector more. */
const noted = Symbol('caller');
type Noted = Metadata & { [noted]?: Caller };

/**
 * Admits a call before its message is read. A caller that is not authenticated, or a call for which there is no free
 * place, is refused at once, so that the server never holds the message of such a call.
 */
function admission(
  endpoints: Endpoint[],
  pipeline: Pipeline,
  authenticate: Authenticate,
  { maxMessageBytes }: GrpcLimits,
  { receiver, clientName }: { receiver: Receiver | undefined; clientName: string | undefined },
): ServerInterceptor {
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.contract.path, endpoint]));
  return ({ path }, call) => {
    const endpoint = byPath.get(path);
    if (receiver && path === forwardMethod.path) return admitStream(call, authenticate, receiver, clientName);
    // Health and reflection need no token.
    if (!endpoint) return new ServerInterceptingCall(call);

    /** Refuses through the pipeline, which counts and reports all calls. */
    const refuse = async (metadata: Metadata, error: unknown) => {
      const from = { header: readerOf(metadata), address: addressOf(call.getPeer()) };
      const refused = { counted: true, ...from, authenticate: () => Promise.reject(error) };
      const outcome = await pipeline.run(endpoint, { ...refused, decode: () => undefined, encode: () => undefined });
      if (!outcome.ok) call.sendStatus(toStatus(outcome.error, replyMetadata(outcome.requestId)));
    };
    const look = (metadata: Noted, admit: (metadata: Metadata) => void) => {
      const refusal = pipeline.full();
      if (refusal) return refuse(metadata, refusal);
      const note = (caller: Caller) => {
        try {
          checkClientCertificate(clientName, call, caller, endpoint.contract.access.authentication === 'SERVICE');
        } catch (error) {
          return refuse(metadata, error);
        }
        metadata[noted] = caller;
        const bound = boundOf(endpoint.contract, maxMessageBytes);
        boundMessages(call, bound, () => void refuse(metadata, tooLarge(bound)));
        return admit(metadata);
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

/** Admits a stream of forwarded calls before any of its messages is read. */
function admitStream(
  call: ServerInterceptingCallInterface,
  authenticate: Authenticate,
  receiver: Receiver,
  clientName: string | undefined,
): ServerInterceptingCall {
  const look = async (metadata: Metadata, admit: (metadata: Metadata) => void) => {
    try {
      await receiver.admit(async () => {
        const caller = await authenticate(readerOf(metadata)(headerNames.authorization));
        checkClientCertificate(clientName, call, caller, true);
        return caller;
      }, addressOf(call.getPeer()));
    } catch (error) {
      call.sendStatus(toStatus(toClientError(error), new Metadata()));
      return;
    }
    admit(metadata);
  };
  return new ServerInterceptingCall(call, {
    start: (next) => next({ onReceiveMetadata: (metadata, admit) => void look(metadata, admit) }),
  });
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
      address: addressOf(call.getPeer()),
      whenGone: whenEmitted(call, 'cancelled'),
      deadline: deadline === Number.POSITIVE_INFINITY ? undefined : new Date(deadline),
      bytes: call.request.length,
      decode: () => decode(endpoint, call.request),
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
