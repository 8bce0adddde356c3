/** Serves endpoints over gRPC. */

import { type handleUnaryCall, type MethodDefinition, Server, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import { forwardMethod } from '../forward/frames.ts';
import type { Receiver } from '../forward/receiver.ts';
import { headerNames } from '../headers.ts';
import type { Admission } from '../server/admission.ts';
import type { Authenticate } from '../server/auth.ts';
import { whenEmitted } from '../server/deadline.ts';
import { encodeOnce } from '../server/encode-once.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { boundOf } from '../server/request-size.ts';
import { admissionInterceptor, admittedOf } from './admission.ts';
import { unknownStreams } from './connection-streams.ts';
import { decode } from './decode.ts';
import { takeGrpcLog } from './grpc-log.ts';
import { serveStream } from './message-streams.ts';
import { readerOf, replyMetadata } from './metadata.ts';

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
 * Calls of a connection above `maxConcurrent`, once its caller is known. They are refused with a reason, instead of waiting unseen in clients.
 * Why it must be so many: see README, Spare streams.
 */
const spareStreams = 4_000;

const bytesOnce = encodeOnce<Buffer>();

type Definition = Record<string, MethodDefinition<Buffer, Buffer>>;

/** What every call passes. */
export interface Doors {
  pipeline: Pipeline;
  admission: Admission;
  authenticate: Authenticate;
}

/** The overhead of a request in a message of forwarded calls: its headers, the token among them. */
const envelopeBytes = 64 * 1024;

export interface GrpcOptions {
  /** Takes calls that other processes forward; absent: there are none. */
  receiver?: Receiver | undefined;
  /** The name in the client certificates that calls of services need; absent: they need none. */
  clientName?: string | undefined;
  /** Fires when the server takes no more calls: streams then end. */
  leaving?: AbortSignal;
}

/** The server for these endpoints. It does not listen yet. */
export function grpcServer(
  endpoints: Endpoint[],
  { pipeline, admission, authenticate }: Doors,
  limits: GrpcLimits,
  { receiver, clientName, leaving }: GrpcOptions = {},
): Server {
  takeGrpcLog();
  // The largest bound, for all messages, also of health and reflection. Each call then gets its own method's bound.
  const bounds = endpoints.map(({ contract }) => boundOf(contract, limits.maxMessageBytes));
  const server = new Server({
    interceptors: [
      admissionInterceptor({
        endpoints,
        pipeline,
        admission,
        authenticate,
        receiver,
        clientName,
        connectionStreams: limits.maxConcurrent + spareStreams,
        leaving,
      }),
    ],
    'grpc.max_receive_message_length':
      (bounds.length > 0 ? Math.max(...bounds) : limits.maxMessageBytes) + (receiver ? envelopeBytes : 0),
    'grpc.max_send_message_length': limits.maxMessageBytes * 4,
    'grpc.max_concurrent_streams': unknownStreams,
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
      requestStream: endpoint.contract.stream !== undefined,
      responseStream: endpoint.contract.stream !== undefined,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    known.handlers[name] = endpoint.contract.stream ? serveStream : handlerOf(endpoint, { pipeline, admission });
  }
  for (const { definition, handlers } of services.values()) server.addService(definition, handlers);
  if (receiver) server.addService({ Forward: forwardMethod }, { Forward: receiver.serve });
  return server;
}

function handlerOf(
  endpoint: Endpoint,
  { pipeline, admission }: Pick<Doors, 'pipeline' | 'admission'>,
): handleUnaryCall<Buffer, Buffer> {
  const { definition, contract } = endpoint;
  return async (call, callback) => {
    const deadline = call.getDeadline();
    const { caller, place, address, counted } = admittedOf(call.metadata);
    const bytes = call.request.length;
    const outcome = await pipeline.run(endpoint, {
      place,
      address,
      authenticate: () => caller!,
      header: readerOf(call.metadata),
      whenGone: whenEmitted(call, 'cancelled'),
      deadline: deadline === Number.POSITIVE_INFINITY ? undefined : new Date(deadline),
      bytes,
      decode() {
        counted?.charge(bytes);
        // Services pass on what callers of earlier versions have sent, which had no such bound.
        return decode(endpoint, call.request, place.party.kind === 'own' ? bytes : undefined);
      },
      encode(response, { isRemembered }) {
        const answer = bytesOnce(response as object, isRemembered, () => definition.responseSerialize(response));
        place.answer(answer.length, contract.noSideEffects);
        return answer;
      },
    });
    const metadata = replyMetadata(outcome.requestId, outcome.ok ? undefined : outcome.error);
    if (!outcome.ok) {
      if (contract.rawBody) admission.countFailed(address, outcome.error);
      callback(toStatus(outcome.error, metadata));
      return;
    }
    if (outcome.consistency) metadata.set(headerNames.consistency, outcome.consistency);
    if (outcome.age) metadata.set(headerNames.age, outcome.age);
    call.sendMetadata(metadata);
    callback(null, outcome.answer);
  };
}
