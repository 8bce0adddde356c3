/**
 * The connection to one owner: a stream of forwarded calls and their answers. Calls above the window wait here, where they can
 * be cancelled without anything being sent.
 */
import type {
  Answers,
  Forward,
  ForwardedAnswer,
  ForwardedCall,
} from '@caudal/contract/gen/caudal/forward/v1/forward.ts';
import type { Instance } from '@caudal/kernel/forward.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type ClientDuplexStream, Client as GrpcClient, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type CallTls, channelTls } from '../client/call-tls.ts';
import { detailsKey } from '../errors.ts';
import { takeGrpcLog } from '../grpc/grpc-log.ts';
import { headerNames } from '../headers.ts';
import type { TokenSource } from '../server/tokens.ts';
import type { ForwardKeys } from './forward-keys.ts';
import { forwardMethod, gatherer, inFrames, windowCalls } from './frames.ts';
import { openLiveness } from './liveness.ts';
import { unproven } from './metrics.ts';
import { isProof, newNonce, nonceHeader, proofHeader, signedProofHeader } from './proof.ts';

const log = logger('rpc');

/** How long opening the stream may take, with the signatures of both ends. */
const openMs = 1_000;

export type PeerOutcome =
  | { kind: 'answered'; answer: ForwardedAnswer /** The owner stops. */; leaving: boolean }
  /** Nothing was sent: the peer takes no calls, or was never reached. */
  | { kind: 'refused' }
  /** Nothing was sent: the peer stops. */
  | { kind: 'leaving' }
  /** The peer is gone or silent. `sent`: the call may have been done, or may still be. */
  | { kind: 'lost'; sent: boolean }
  /** The caller's signal has fired. The peer knows, if the call was sent. */
  | { kind: 'cancelled' };

export type PeerCall = Omit<ForwardedCall, 'id' | 'timeoutMillis'> & { deadline: Date };

export interface Peer {
  /**
   * Sends a call, and waits for its answer until the signal fires. A repeatable call is lost once the peer is silent; any other
   * one waits on, since only the answer tells whether it was done.
   */
  call(call: PeerCall, options: { signal: AbortSignal; repeatable: boolean }): Promise<PeerOutcome>;
  /** Calls that wait for an answer, or to be sent. */
  waiting(): number;
  /** Whether no further calls are sent: it is closed, gone, silent or leaving. */
  ended(): boolean;
  /** Takes no further calls, and closes once the last has its answer. */
  retire(): void;
  close(): void;
}

interface Waiting {
  id: number;
  call: PeerCall;
  repeatable: boolean;
  settle(outcome: PeerOutcome): void;
}

type State = 'open' | 'leaving' | 'silent' | 'gone' | 'refused';

/** How a process proves to owners what it is, and they to it. */
export interface PeerTrust {
  /** The token of this process as a service, where there are no keys of services; absent if the servers require none. */
  token?: TokenSource | undefined;
  /** Proofs by the keys of services. Absent: an owner is known by its instance alone. */
  keys?: ForwardKeys | undefined;
  /** Absent: connections are plain. */
  tls?: CallTls | undefined;
}

/** Opens the connection at once. */
export function openPeer({ address, instance }: Instance, { token, keys, tls }: PeerTrust): Peer {
  takeGrpcLog();
  const secure = channelTls(tls);
  const client = new GrpcClient(address, secure.credentials, {
    ...secure.options,
    // Connections to one address take turns, before the server ends them for their age.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.max_receive_message_length': 20 * 1024 * 1024,
    'grpc.enable_channelz': 0,
  });
  /** Sent, by id, and those that wait for a place in the window. */
  const sent = new Map<number, Waiting>();
  const unsent = new Set<Waiting>();
  let cancelled: number[] = [];
  let ping = 0;
  let lastId = 0;
  let state: State = 'open';
  let retiring = false;
  let stream: ClientDuplexStream<Forward, Answers> | undefined;
  let mayHave: (stream: string) => boolean = () => true;
  const liveness = openLiveness({
    ping(number) {
      ping = number;
      flushSoon();
    },
    onSilent: () => leave('silent'),
    elapsed: () => performance.now(),
  });
  const flushSoon = gatherer(flush);
  const opened = open();

  function flush(): void {
    if (!stream || stream.destroyed) return;
    const calls: ForwardedCall[] = [];
    for (const one of unsent) {
      if (sent.size >= windowCalls) break;
      unsent.delete(one);
      sent.set(one.id, one);
      const { deadline, ...call } = one.call;
      calls.push({ ...call, id: one.id, timeoutMillis: Math.max(1, deadline.getTime() - Date.now()) });
    }
    if (sent.size > 0) liveness.begin();
    const frames = inFrames(calls, ({ request }) => request.length + 1_024);
    if (frames.length === 0 && (ping > 0 || cancelled.length > 0)) frames.push([]);
    frames.forEach((frame, place) => {
      const last = place === frames.length - 1;
      stream?.write({ calls: frame, cancelled: last ? cancelled : [], ping: last ? ping : 0 });
    });
    cancelled = [];
    ping = 0;
  }

  async function open(): Promise<void> {
    const metadata = new Metadata();
    const nonce = newNonce();
    metadata.set(nonceHeader, nonce);
    try {
      const shown = keys ? keys.opening(instance) : token?.();
      if (shown) metadata.set(headerNames.authorization, `Bearer ${await shown}`);
    } catch {
      leave('refused');
      return;
    }
    const { path, requestSerialize, responseDeserialize } = forwardMethod;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    const { promise: answered, resolve } = Promise.withResolvers<State>();
    const timer = setTimeout(() => resolve('refused'), openMs).unref();
    call.once('metadata', (headers: Metadata) => void judge(headers, nonce).then(resolve));
    call.on('error', (error: ServiceError) => resolve(isGone(error) ? 'gone' : 'refused'));
    const result = await answered;
    clearTimeout(timer);
    if (result !== 'open' || state !== 'open') {
      call.on('error', () => {});
      call.cancel();
      leave(result === 'open' ? state : result);
      return;
    }
    stream = call;
    call.on('data', receive);
    for (const ending of ['close', 'end', 'error']) call.on(ending, () => leave('gone'));
    flushSoon();
  }

  async function judge(headers: Metadata, nonce: string): Promise<State> {
    // Another process at the address: the owner is gone.
    if (!isProof(headers.get(proofHeader)[0], instance, nonce)) return 'gone';
    if (!keys) return 'open';
    try {
      mayHave = await keys.proven(headers.get(signedProofHeader)[0], { instance, address, nonce });
      return 'open';
    } catch (error) {
      unproven.add(1);
      log.warn(
        { address, err: error },
        'a process that says it owns streams has not proven what it is: it gets no calls',
      );
      return 'refused';
    }
  }

  function receive({ answers, pong, leaving }: Answers): void {
    liveness.received(pong);
    if (leaving && state === 'open') leave('leaving');
    for (const answer of answers) {
      const one = sent.get(answer.id);
      sent.delete(answer.id);
      one?.settle({ kind: 'answered', answer, leaving: state === 'leaving' });
    }
    if (sent.size === 0) liveness.end();
    if (unsent.size > 0) flushSoon();
    closeIfDone();
  }

  /** No further calls are sent. Those that are never answered, or can be done elsewhere, end here. */
  function leave(how: State): void {
    if (state === 'gone' || state === 'refused') return;
    state = how;
    const isLost = ({ repeatable }: Waiting) => how === 'gone' || how === 'refused' || (how === 'silent' && repeatable);
    for (const one of [...unsent]) {
      unsent.delete(one);
      if (how === 'leaving' || how === 'refused') one.settle({ kind: how });
      else one.settle({ kind: 'lost', sent: false });
    }
    for (const one of [...sent.values()]) {
      if (!isLost(one)) continue;
      sent.delete(one.id);
      // A silent owner may wake up, and must not do then what is done elsewhere, or was refused there.
      if (how === 'silent') cancelled.push(one.id);
      one.settle({ kind: 'lost', sent: true });
    }
    if (cancelled.length > 0) flushSoon();
    // After the cancellations are sent.
    setImmediate(closeIfDone);
  }

  function closeIfDone(): void {
    if (sent.size + unsent.size > 0 || (state === 'open' && !retiring)) return;
    liveness.end();
    if (stream) stream.cancel();
    stream = undefined;
    client.close();
    if (state === 'open') state = 'gone';
  }

  return {
    async call(call, { signal, repeatable }) {
      await opened;
      if (signal.aborted) return { kind: 'cancelled' };
      if (state === 'refused' || state === 'leaving') return { kind: state };
      if (!mayHave(call.stream)) return { kind: 'refused' };
      if (state !== 'open') return { kind: 'lost', sent: false };
      const { promise, resolve } = Promise.withResolvers<PeerOutcome>();
      lastId = (lastId % 0xffffffff) + 1;
      const one: Waiting = { id: lastId, call, repeatable, settle: resolve };
      const cancel = () => {
        if (sent.delete(one.id)) {
          cancelled.push(one.id);
          flushSoon();
        }
        unsent.delete(one);
        resolve({ kind: 'cancelled' });
        // After the cancellation is sent.
        setImmediate(closeIfDone);
      };
      unsent.add(one);
      flushSoon();
      signal.addEventListener('abort', cancel, { once: true });
      const outcome = await promise;
      signal.removeEventListener('abort', cancel);
      return outcome;
    },
    waiting: () => sent.size + unsent.size,
    ended: () => state !== 'open',
    retire() {
      retiring = true;
      closeIfDone();
    },
    close: () => leave('gone'),
  };
}

/**
 * Whether nothing listens at the address any more. A peer that has answered with details is there, and one that was not reached
 * otherwise may be reached by others: it is no reason to take its streams over.
 */
function isGone({ code, details, metadata }: ServiceError): boolean {
  const hasDetails = (metadata?.get(detailsKey).length ?? 0) > 0;
  return code === status.UNAVAILABLE && !hasDetails && /ECONNREFUSED|ECONNRESET/.test(details);
}
