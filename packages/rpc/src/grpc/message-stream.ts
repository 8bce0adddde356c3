/**
 * One stream of messages: each passes the pipeline as a call of its own, several at once, and is answered in order. What would be the error
 * of a call is in its answer. docs/streams.md
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { ServerDuplexStream, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { statusBytes, toClientError, toStatus } from '../errors.ts';
import { type HeaderReader, headerNames, idHeader } from '../headers.ts';
import { checkPermission } from '../server/access.ts';
import type { Admission, Admitted } from '../server/admission.ts';
import { whenEmitted } from '../server/deadline.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Outcome, Pipeline } from '../server/pipeline.ts';
import { RateLimited } from '../server/rate-limits.ts';
import { boundOf } from '../server/request-size.ts';
import { isEnding } from './connection-streams.ts';
import { decode } from './decode.ts';
import { type Intake, openIntake, streamEnded } from './intake.ts';
import { destroyStream } from './message-bound.ts';
import { replyMetadata } from './metadata.ts';

/** Messages of a stream that are read and not answered. */
export const windowMessages = 4;
/** The most time without a message. A connection that is told to end is cut after a minute. */
const idleMs = 30_000;
/** The most time that a caller above its rate is held back. */
const rateWaitMs = 30_000;
const lookEveryMs = 1_000;

export interface MessageStreamOptions {
  endpoint: Endpoint;
  call: ServerInterceptingCallInterface;
  header: HeaderReader;
  admitted: Admitted;
  admission: Admission;
  pipeline: Pipeline;
  /** Who the caller is now. Rejects once its token has ended. */
  authenticate(): Promise<Admitted['caller']>;
}

export interface MessageStream {
  intake: Intake;
  serve(stream: ServerDuplexStream<Buffer, Buffer>): void;
  /** Reads no more, answers what it has, and then ends with this error. */
  end(error: unknown): void;
  /** It is over. */
  close(): void;
}

export function openMessageStream(options: MessageStreamOptions): MessageStream {
  const { endpoint, call, admitted, admission, pipeline } = options;
  const { contract, definition } = endpoint;
  const { patience, limits } = admission;
  const { place, address } = admitted;
  const requestId = idHeader(options.header, headerNames.requestId) ?? newId();
  const header: HeaderReader = (name) => (name === headerNames.requestId ? requestId : options.header(name));
  const gone = new AbortController();
  let { caller, counted } = admitted;
  let ending = false;
  /** The answers so far. */
  let answers: Promise<void> = Promise.resolve();

  async function stillAllowed(): Promise<void> {
    if (isEnding(call)) throw streamEnded('The connection ends.');
    caller = await options.authenticate();
    checkPermission(contract, caller!);
  }

  /** A caller above its rate is not refused: its next message is read when the window allows it. */
  async function nextAllowed(): Promise<void> {
    await stillAllowed();
    for (const until = performance.now() + rateWaitMs; ; ) {
      try {
        counted = admission.count(endpoint, place.party);
        return;
      } catch (error) {
        const left = until - performance.now();
        if (!(error instanceof RateLimited) || left <= 0) throw error;
        await pause(Math.min(left, error.retryAfterMs ?? lookEveryMs));
      }
    }
  }

  /** Waits, and looks every second whether the stream may go on. */
  async function pause(ms: number): Promise<void> {
    const until = performance.now() + ms;
    for (let left = ms; left > 0; left = until - performance.now()) {
      await sleep(Math.min(left, lookEveryMs), gone.signal);
      gone.signal.throwIfAborted();
      await stillAllowed();
    }
  }

  function end(error: unknown): void {
    if (ending) return;
    ending = true;
    intake.close();
    void answers.then(async () => {
      const ended = await reported(toClientError(error));
      if (!gone.signal.aborted) call.sendStatus(toStatus(ended, replyMetadata(requestId, ended)));
    });
  }

  /** A refusal of a stream counts and is recorded as one of a call. */
  async function reported(error: CaudalError): Promise<CaudalError> {
    if (error.reason === 'STREAM_ENDED') return error;
    const outcome = await refused(error);
    return outcome.ok ? error : outcome.error;
  }

  const refused = (error: unknown): Promise<Outcome<Buffer>> =>
    pipeline.run(endpoint, {
      ...{ header, address, refused: caller },
      authenticate: () => Promise.reject(error),
      decode: () => undefined,
      encode: () => Buffer.of(),
    });

  const run = (stream: ServerDuplexStream<Buffer, Buffer>, bytes: Buffer): Promise<Outcome<Buffer>> =>
    pipeline.run(endpoint, {
      ...{ place, address, header },
      authenticate: () => caller!,
      whenGone: whenEmitted(stream, 'cancelled'),
      bytes: bytes.length,
      decode: () => decode(endpoint, bytes, place.party.kind === 'own' ? bytes.length : undefined),
      encode: (response) => definition.responseSerialize(response),
    });

  function send(stream: ServerDuplexStream<Buffer, Buffer>, answer: Buffer): Promise<void> {
    if (gone.signal.aborted) return Promise.resolve();
    place.answer(answer.length, false);
    return new Promise((resolve) => {
      const unwatch = patience.watch(limits.answerMs, () => destroyStream(call));
      const done = () => {
        unwatch();
        gone.signal.removeEventListener('abort', done);
        place.sent(answer.length);
        resolve();
      };
      // Of a stream that breaks meanwhile grpc-js does not call back.
      gone.signal.addEventListener('abort', done);
      stream.write(answer, done);
    });
  }

  const bytes = boundOf(contract, limits.maxMessageBytes);
  const intake = openIntake({
    ...{ patience, place, stillAllowed, nextAllowed, end },
    limits: { messages: windowMessages, bytes, idleMs, messageMs: limits.requestBodyMs },
  });

  return {
    intake,
    serve(stream) {
      // At once: so the caller knows that the stream is open before its first message.
      stream.sendMetadata(replyMetadata(requestId));
      stream.on('data', (message: Buffer) => {
        counted?.charge(message.length, { refuses: false });
        let answered = () => {};
        const turn = admission.turn(endpoint, place.party, message.length, gone.signal) ?? Promise.resolve(() => {});
        // While it waits, no further one is read.
        const running = turn
          .finally(() => {
            answered = intake.taken();
          })
          .then((end) => run(stream, message).finally(end), refused);
        answers = answers.then(async () => {
          const outcome = await running;
          await send(stream, outcome.ok ? outcome.answer : failed(contract.stream!.errorField, outcome.error));
          answered();
        });
      });
      stream.on('end', () => {
        if (ending) return;
        ending = true;
        void answers.then(() => stream.end());
      });
    },
    end,
    close() {
      ending = true;
      intake.close();
      gone.abort(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller has disconnected.'));
    },
  };
}

/** An answer that has nothing but its error. */
const failed = (field: number, error: CaudalError): Buffer =>
  Buffer.from(new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(statusBytes(error)).finish());
