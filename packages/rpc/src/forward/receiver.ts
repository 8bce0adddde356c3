/** Serves the calls that other processes forward: each runs through the pipeline as if its caller had called this process. */
import { isIP } from 'node:net';
import type {
  Answers,
  Forward,
  ForwardedAnswer,
  ForwardedCall,
} from '@caudal/contract/gen/caudal/forward/v1/forward.ts';
import { type Caller, isService } from '@caudal/kernel/context.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import { detailsKey, toClientError, toStatus } from '../errors.ts';
import { addressOf, headerNames } from '../headers.ts';
import { type AuditTrail, noteRefusal } from '../server/audit.ts';
import type { Authenticate } from '../server/auth.ts';
import { callerOf } from '../server/caller.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Pipeline } from '../server/pipeline.ts';
import type { ForwardKeys } from './forward-keys.ts';
import { forwardMethod, forwardPermission, gatherer, inFrames, windowCalls } from './frames.ts';
import { nonceHeader, proofHeader, proofOf, signedProofHeader } from './proof.ts';

/** Streams of other processes at the same time; each has up to `windowCalls` calls. */
const maxStreams = 64;
/** Characters of the text that a proof is asked for. */
const maxNonce = 64;

export interface Receiver {
  /** Who opens a stream. Rejects with UNAUTHENTICATED. */
  opener(authorization: string | undefined, mayCheck?: () => void): Caller | Promise<Caller>;
  /** Rejects with the error to answer if the caller may not open a stream. `authenticate`: who it is. */
  admit(authenticate: () => Caller | Promise<Caller>, address: string | undefined): Promise<void>;
  serve(stream: ServerDuplexStream<Forward, Answers>): void;
}

export interface ReceiverOptions {
  endpoints: Endpoint[];
  pipeline: Pipeline;
  authenticate: Authenticate;
  /** This process, as its rows in the database name it. */
  instance: string;
  /** Where other processes reach it. */
  address: string;
  /** Proofs by the keys of services; absent: openers show a token, and this process proves its instance alone. */
  keys?: ForwardKeys | undefined;
  /** For how long this process owns the stream from now on; 0 if it does not. */
  ownedMs(stream: string): number;
  /** Where refused streams are recorded; absent: nowhere. */
  audit?: AuditTrail | undefined;
  /** Fires when the process begins to end: it takes no further calls. */
  ending?: AbortSignal;
}

export function openReceiver(options: ReceiverOptions): Receiver {
  const { endpoints, pipeline, authenticate, instance, address: ownAddress, keys, ownedMs, audit, ending } = options;
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.contract.path, endpoint]));
  /** A function for each stream that tells the other process that this one leaves. */
  const streams = new Set<() => void>();
  ending?.addEventListener('abort', () => {
    for (const leave of streams) leave();
  });

  async function answerTo(
    { id, method, request, headers, timeoutMillis, stream }: ForwardedCall,
    from: string | undefined,
    whenGone: (end: () => void) => () => void,
  ): Promise<ForwardedAnswer> {
    const endpoint = byPath.get(method);
    if (!endpoint) return { ...empty, id, notTaken: true };
    const header = (name: string) => headers[name];
    let known = true;
    const outcome = await pipeline.run(endpoint, {
      forwarded: true,
      async authenticate() {
        try {
          return await callerOf(endpoint, header, authenticate);
        } catch (error) {
          known = false;
          throw error;
        }
      },
      header,
      // The opener has proven to be a service. A process of an older release does not say it.
      address: addressFrom(header(headerNames.callerAddress)) ?? from,
      whenGone,
      deadline: new Date(Date.now() + timeoutMillis),
      bytes: request.length,
      decode: () => endpoint.definition.requestDeserialize(request as Buffer),
      // The other process applies the mask: it needs the etag and the name of what was made.
      encode: (_, { whole }) => endpoint.definition.responseSerialize(whole),
    });
    const ownedMillis = Math.ceil(ownedMs(stream));
    // The token has ended on the way, or its key is not known here yet: the process that has accepted it decides.
    if (!known) return { ...empty, id, notTaken: true, ownedMillis };
    if (!outcome.ok) {
      const { code, details, metadata } = toStatus(outcome.error, new Metadata());
      const [bytes] = metadata.get(detailsKey);
      return { ...empty, id, code, message: details, details: bytes as Buffer, ownedMillis };
    }
    const { answer, consistency = '', age = '' } = outcome;
    return { ...empty, id, response: answer, consistencyToken: consistency, age, ownedMillis };
  }

  function checkRoom(): void {
    if (ending?.aborted) throw unavailable('server');
    if (streams.size >= maxStreams)
      throw new CaudalError('RESOURCE_EXHAUSTED', 'SERVER_BUSY', 'Too many processes forward calls to this one.');
  }

  function check(caller: Caller): void {
    checkRoom();
    if (caller.permissions.has('*')) return;
    if (!isService(caller) || !caller.permissions.has(forwardPermission))
      throw new CaudalError('PERMISSION_DENIED', 'INTERNAL_METHOD', "Only Caudal's own services may forward calls.");
  }

  /** Proves who this is before the other process sends any call. */
  async function prove(stream: ServerDuplexStream<Forward, Answers>): Promise<Metadata> {
    const headers = new Metadata();
    const [nonce] = stream.metadata.get(nonceHeader);
    if (typeof nonce !== 'string' || nonce.length > maxNonce) return headers;
    headers.set(proofHeader, proofOf(instance, nonce));
    // Without a key there is none, and the other process decides its calls itself.
    const signed = await keys?.proof({ instance, address: ownAddress, nonce }).catch(() => undefined);
    if (signed) headers.set(signedProofHeader, signed);
    return headers;
  }

  return {
    opener(authorization, mayCheck) {
      if (!keys) return authenticate(authorization, mayCheck);
      mayCheck?.();
      return keys.opener(authorization, instance);
    },
    async admit(authenticated, address) {
      let caller: Caller | undefined;
      try {
        checkRoom();
        caller = await authenticated();
        check(caller);
      } catch (error) {
        const refused = toClientError(error);
        if (audit) noteRefusal(audit, { method: forwardMethod.path, caller, address, error: refused });
        throw refused;
      }
    },
    serve(stream) {
      /** By the call's id: how it is cancelled. Its bound is the window, which the other process keeps. */
      const ends = new Map<number, () => void>();
      let answers: ForwardedAnswer[] = [];
      let pong = 0;
      let leaving = false;
      let open = true;
      let serving = 0;
      const address = addressOf(stream.getPeer());
      const flushSoon = gatherer(() => {
        if (!open) return;
        const frames = inFrames(answers, ({ response, details }) => response.length + details.length + 256);
        if (frames.length === 0) frames.push([]);
        frames.forEach((frame, place) => {
          stream.write({ answers: frame, pong: place === 0 ? pong : 0, leaving });
        });
        answers = [];
        pong = 0;
      });
      const leave = () => {
        leaving = true;
        flushSoon();
      };
      const serveOne = async (call: ForwardedCall) => {
        serving++;
        const answer = await answerTo(call, address, (end) => {
          if (open) ends.set(call.id, end);
          else end();
          return () => ends.delete(call.id);
        });
        serving--;
        answers.push(answer);
        flushSoon();
      };
      const close = () => {
        open = false;
        streams.delete(leave);
        for (const end of [...ends.values()]) end();
      };
      stream.on('data', ({ calls, cancelled, ping }: Forward) => {
        for (const call of calls) {
          if (serving < windowCalls * 2) void serveOne(call);
          else stream.destroy();
        }
        for (const id of cancelled) ends.get(id)?.();
        if (ping === 0) return;
        pong = ping;
        flushSoon();
      });
      for (const event of ['cancelled', 'close', 'error']) stream.on(event, close);
      stream.on('end', () => {
        close();
        stream.end();
      });
      streams.add(leave);
      void prove(stream).then((headers) => {
        if (open) stream.sendMetadata(headers);
      });
    },
  };
}

const addressFrom = (text: string | undefined): string | undefined =>
  text !== undefined && isIP(text) !== 0 ? text : undefined;

const empty: Omit<ForwardedAnswer, 'id'> = {
  response: Buffer.alloc(0),
  consistencyToken: '',
  age: '',
  code: 0,
  message: '',
  details: Buffer.alloc(0),
  ownedMillis: 0,
  notTaken: false,
};
