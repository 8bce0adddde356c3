/** Admits the streams of messages, as admission.ts does calls, and bounds their number. */
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import {
  type handleBidiStreamingCall,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
} from '@grpc/grpc-js';
import { toStatus } from '../errors.ts';
import type { Admission } from '../server/admission.ts';
import type { Authenticate } from '../server/auth.ts';
import { callerOf } from '../server/caller.ts';
import { checkClientCertificate } from '../server/client-certificate.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import { noteRefusal } from '../server/places.ts';
import { openPool } from '../server/pool.ts';
import { boundOf, tooLarge } from '../server/request-size.ts';
import { allowStreams, type RefusalTurns } from './connection-streams.ts';
import { type Intake, streamEnded } from './intake.ts';
import { boundMessages, closeStream, refuseStream } from './message-bound.ts';
import { type MessageStream, openMessageStream } from './message-stream.ts';
import { readerOf, replyMetadata } from './metadata.ts';
import { refuseRepeatedIn } from './repeated-headers.ts';

/** Streams of a process at the same time. A caller gets half of them. */
export const maxMessageStreams = 64;

const noted = Symbol('stream');
type Noted = Metadata & { [noted]?: MessageStream };

/** The handler of all methods with streams. */
export const serveStream: handleBidiStreamingCall<Buffer, Buffer> = (stream) =>
  (stream.metadata as Noted)[noted]!.serve(stream);

export interface MessageStreamsOptions {
  pipeline: Pipeline;
  admission: Admission;
  authenticate: Authenticate;
  clientName: string | undefined;
  connectionStreams: number;
  /** Fires when the server takes no more calls. */
  leaving: AbortSignal | undefined;
}

export interface MessageStreams {
  admit(endpoint: Endpoint, call: ServerInterceptingCallInterface): ServerInterceptingCall;
}

export function messageStreams(options: MessageStreamsOptions, refusals: RefusalTurns): MessageStreams {
  const { pipeline, admission, clientName, connectionStreams, leaving } = options;
  const seats = openPool(maxMessageStreams, 1);
  const streams = new Set<MessageStream>();
  leaving?.addEventListener('abort', () => {
    for (const stream of streams) stream.end(streamEnded('The server is stopping.'));
  });

  return {
    admit(endpoint, call) {
      const { contract } = endpoint;
      let over = false;
      let address = '';
      let known: Caller | undefined;
      let stream: MessageStream | undefined;
      let leave = () => {};

      const refuse = async (metadata: Metadata, error: unknown) => {
        const of = { header: readerOf(metadata), address, refused: known };
        const refused = { ...of, authenticate: () => Promise.reject(error) };
        const outcome = await pipeline.run(endpoint, { ...refused, decode: () => undefined, encode: () => undefined });
        if (!outcome.ok) refuseStream(call, toStatus(outcome.error, replyMetadata(outcome.requestId, outcome.error)));
      };
      const look = async (metadata: Noted, admit: (metadata: Metadata) => void) => {
        try {
          refuseRepeatedIn(call);
          const header = readerOf(metadata);
          address = admission.address(call.getConnectionInfo().remoteAddress, header);
          const full = admission.full();
          if (full) throw full;
          if (contract.access.authentication === 'SERVICE') checkClientCertificate(clientName, call);
          const authenticate = async () =>
            admission.known(address, (mayCheck) => callerOf(endpoint, header, options.authenticate, mayCheck));
          const caller = await authenticate();
          if (over) return;
          known = caller;
          if (isService(caller)) checkClientCertificate(clientName, call);
          const seat = seats.take(caller.subject);
          if (!seat) throw tooManyStreams();
          leave = seat;
          const admitted = admission.admit(endpoint, caller, address);
          leave = () => {
            seat();
            admitted.leave();
          };
          allowStreams(call, connectionStreams);
          const opened = openMessageStream({ endpoint, call, header, admitted, admission, pipeline, authenticate });
          const bytes = boundOf(contract, admission.limits.maxMessageBytes);
          boundMessages(call, {
            bytes,
            messages: Number.POSITIVE_INFINITY,
            take: opened.intake.arrive,
            refuse: (error) => opened.end(error ?? tooLarge(bytes)),
          });
          stream = opened;
          streams.add(opened);
          gated.intake = opened.intake;
          metadata[noted] = opened;
          if (leaving?.aborted) opened.end(streamEnded('The server is stopping.'));
        } catch (error) {
          refusals.run(call, () => void refuse(metadata, error));
          return;
        }
        admit(metadata);
      };
      const gated = new Gated(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, admit) => void look(metadata, admit),
            onReceiveMessage(message, pass) {
              stream?.intake.received();
              pass(message);
            },
            onReceiveHalfClose(pass) {
              stream?.intake.finish();
              pass();
            },
            // After every stream, however it has ended.
            onCancel() {
              over = true;
              leave();
              if (!stream) return;
              streams.delete(stream);
              stream.close();
              // With its status on the way: a caller that sends on would keep the stream open.
              setImmediate(closeStream, call);
            },
          }),
      });
      return gated;
    },
  };
}

/** Reads when the intake says so. */
class Gated extends ServerInterceptingCall {
  intake: Intake | undefined;

  override startRead(): void {
    this.intake?.want(() => super.startRead());
  }
}

function tooManyStreams(): CaudalError {
  noteRefusal('CALLER_BUSY');
  const message = 'This caller has as many streams open as it may have, or the server has: use those that are open.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'CALLER_BUSY', message, { retryAfterMs: 1_000 });
}
