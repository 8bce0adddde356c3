/**
 * Admits gRPC calls before their messages are read. A call that is refused gets its answer at once, so that the server never
 * holds its message.
 */
import { type Caller, isService } from '@caudal/kernel/context.ts';
import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { toClientError, toStatus } from '../errors.ts';
import { forwardMethod } from '../forward/frames.ts';
import type { Receiver } from '../forward/receiver.ts';
import { headerNames } from '../headers.ts';
import type { Admission, Admitted } from '../server/admission.ts';
import type { Authenticate } from '../server/auth.ts';
import { anyone, callerOf } from '../server/caller.ts';
import { checkClientCertificate } from '../server/client-certificate.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { boundOf, tooLarge, tooSlow } from '../server/request-size.ts';
import { allowStreams, openRefusalTurns, type RefusalTurns } from './connection-streams.ts';
import { boundMessages, destroyStream, refuseStream } from './message-bound.ts';
import { messageStreams } from './message-streams.ts';
import { readerOf, replyMetadata } from './metadata.ts';
import { type OpenStreams, openStreams } from './open-streams.ts';
import { refuseRepeatedIn } from './repeated-headers.ts';

/** How an admitted call was admitted, kept on its metadata: an entry of a WeakMap would cost the garbage collector more. */
const noted = Symbol('admitted');
type Noted = Metadata & { [noted]?: Admitted };

/** How the call with this metadata was admitted. */
export const admittedOf = (metadata: Metadata): Admitted => (metadata as Noted)[noted]!;

export interface AdmissionOptions {
  endpoints: Endpoint[];
  pipeline: Pipeline;
  admission: Admission;
  authenticate: Authenticate;
  /** Takes streams of forwarded calls; undefined: there are none. */
  receiver: Receiver | undefined;
  /** The name in the client certificates that calls of services need; undefined: they need none. */
  clientName: string | undefined;
  /** Streams of a connection whose caller is known. */
  connectionStreams: number;
  /** Fires when the server takes no more calls; undefined: never. */
  leaving: AbortSignal | undefined;
}

/** The interceptor of all calls. */
export function admissionInterceptor(options: AdmissionOptions): ServerInterceptor {
  const { endpoints, receiver, admission } = options;
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.contract.path, endpoint]));
  const streams: OpenStreams = openStreams(admission);
  const refusals = openRefusalTurns();
  const messages = messageStreams(options, refusals);
  return ({ path }, call) => {
    const endpoint = byPath.get(path);
    if (endpoint?.contract.stream) return messages.admit(endpoint, call);
    if (endpoint) return admitCall(options, refusals, endpoint, call);
    if (receiver && path === forwardMethod.path) return admitForwarding(options, refusals, receiver, call);
    // Health and reflection need no token.
    return streams.admit(path, call);
  };
}

function admitCall(
  { pipeline, admission, authenticate, clientName, connectionStreams }: AdmissionOptions,
  refusals: RefusalTurns,
  endpoint: Endpoint,
  call: ServerInterceptingCallInterface,
): ServerInterceptingCall {
  const { patience, limits } = admission;
  let over = false;
  let address = '';
  let admitted: Admitted | undefined;
  let known: Caller | undefined;
  /** The wait for the rest of the request, and then for the answer to be read. */
  let done = () => {};
  /** Says that the request is there. False if the call is refused for it. */
  let isWhole = () => true;
  let refused = false;

  /** Refuses through the pipeline, which counts and reports all calls. */
  const refuse = (metadata: Metadata, error: unknown) => {
    if (refused) return;
    refused = true;
    done();
    if (known) void refuseNow(metadata, error);
    else refusals.run(call, () => void refuseNow(metadata, error));
  };
  const refuseNow = async (metadata: Metadata, error: unknown) => {
    const of = { header: readerOf(metadata), address, refused: known };
    const asked = { ...of, authenticate: () => Promise.reject(error) };
    const outcome = await pipeline.run(endpoint, { ...asked, decode: () => undefined, encode: () => undefined });
    if (outcome.ok) return;
    refuseStream(call, toStatus(outcome.error, replyMetadata(outcome.requestId, outcome.error)));
  };
  const take = (metadata: Noted, caller: Caller, admit: (metadata: Metadata) => void) => {
    if (over) return;
    known = caller;
    try {
      if (isService(caller)) checkClientCertificate(clientName, call);
      admitted = admission.admit(endpoint, caller, address);
      if (caller !== anyone) allowStreams(call, connectionStreams);
      const { place } = admitted;
      metadata[noted] = admitted;
      let received = 0;
      done = patience.watchArrival(
        limits.requestBodyMs,
        () => received,
        () => refuse(metadata, tooSlow()),
      );
      const bytes = boundOf(endpoint.contract, limits.maxMessageBytes);
      boundMessages(call, {
        bytes,
        messages: 1,
        take(more) {
          received += more;
          place.take(more);
        },
        refuse: (error) => refuse(metadata, error ?? tooLarge(bytes)),
      });
      isWhole = () => {
        try {
          place.received();
          return true;
        } catch (error) {
          refuse(metadata, error);
          return false;
        }
      };
    } catch (error) {
      refuse(metadata, error);
      return;
    }
    admit(metadata);
  };
  const look = (metadata: Noted, admit: (metadata: Metadata) => void) => {
    try {
      refuseRepeatedIn(call);
      const header = readerOf(metadata);
      address = admission.address(call.getConnectionInfo().remoteAddress, header);
      const refusal = admission.full();
      if (refusal) throw refusal;
      if (endpoint.contract.access.authentication === 'SERVICE') checkClientCertificate(clientName, call);
      // Its handler checks what is shown.
      if (endpoint.contract.rawBody) admission.mayCheck(address);
      const caller = admission.known(address, (mayCheck) => callerOf(endpoint, header, authenticate, mayCheck));
      if (!(caller instanceof Promise)) return take(metadata, caller, admit);
      caller.then(
        (found) => take(metadata, found, admit),
        (error) => refuse(metadata, error),
      );
    } catch (error) {
      refuse(metadata, error);
    }
  };
  return new ServerInterceptingCall(call, {
    start: (next) =>
      next({
        onReceiveMetadata: look,
        onReceiveHalfClose(goOn) {
          done();
          if (!refused && isWhole()) goOn();
        },
        // After every call, however it has ended.
        onCancel() {
          over = true;
          done();
          admitted?.leave();
        },
      }),
    sendMessage(message, goOn) {
      done();
      // Nobody else ends a call whose caller has set no deadline and does not read.
      done = patience.watch(limits.answerMs, () => destroyStream(call));
      goOn(message);
    },
  });
}

/**
 * Admits a stream of forwarded calls before any of its messages is read. It needs no free place: its calls have theirs in the process
 * that forwards them, and must reach the owner of a stream above all while that is busy. So what anybody could flood is bounded
 * here: the checks of tokens.
 */
function admitForwarding(
  { admission, clientName }: AdmissionOptions,
  refusals: RefusalTurns,
  receiver: Receiver,
  call: ServerInterceptingCallInterface,
): ServerInterceptingCall {
  const look = async (metadata: Metadata, admit: (metadata: Metadata) => void) => {
    try {
      refuseRepeatedIn(call);
      const header = readerOf(metadata);
      const address = admission.address(call.getConnectionInfo().remoteAddress, header);
      const authenticated = async () => {
        checkClientCertificate(clientName, call);
        const shown = header(headerNames.authorization);
        return admission.checked(address, async (mayCheck) => receiver.opener(shown, mayCheck));
      };
      await receiver.admit(authenticated, address);
    } catch (error) {
      refusals.run(call, () => refuseStream(call, toStatus(toClientError(error), new Metadata())));
      return;
    }
    admit(metadata);
  };
  return new ServerInterceptingCall(call, {
    start: (next) => next({ onReceiveMetadata: (metadata, admit) => void look(metadata, admit) }),
  });
}
