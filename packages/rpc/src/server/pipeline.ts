/**
 * The one way that every call takes, be it gRPC, REST or local:
 *
 *   room? -> who? -> may it? -> short enough? -> decode -> its own? -> valid? -> handler, within the deadline -> mask -> encode
 *
 * and at the end of each, however it ended: a metric, a span, a line in the log. Nothing here throws.
 */
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { toClientError } from '../errors.ts';
import { extractTrace, type HeaderReader, headerNames, idHeader, traceparentOf } from '../headers.ts';
import { applyMask, type Mask } from '../schema/mask.ts';
import type { Call } from '../types.ts';
import { checkOwner, checkOwnerField, checkPermission } from './access.ts';
import { decodeConsistency, encodeConsistency, type StreamVersion } from './consistency-token.ts';
import { startTimer, type When } from './deadline.ts';
import type { Endpoint } from './endpoint.ts';
import { observe } from './observe.ts';
import { boundOf, tooLarge } from './request-size.ts';

const inFlight = gauge('rpc_server_calls_in_flight', 'Calls being served, those past their deadline included', '1', {
  formerly: { name: 'rpc_server_calls_in_hand' },
});

export interface Limits {
  /** Calls in flight at once, those that overran their deadline included. */
  maxConcurrent: number;
  /** For calls that name no deadline, in milliseconds. */
  defaultTimeoutMs: number;
  /** The longest deadline that is granted, in milliseconds. */
  maxTimeoutMs: number;
  /** The bytes of a request, for methods whose contract says nothing of it. */
  maxMessageBytes: number;
}

/** One call as it came in, and how its answer goes out. */
export interface Incoming<Answer> {
  authenticate(): Caller | Promise<Caller>;
  header: HeaderReader;
  deadline?: Date;
  /** When the caller goes away. */
  whenGone?: When;
  /** The request's length as it came in, decompressed; undefined where it is not bytes. */
  bytes?: number;
  /** Makes the request message; may throw CaudalError. */
  decode(): unknown;
  encode(response: unknown, facts: Facts): Answer;
  /** What the caller wants to see, where it is not in a header. */
  consistency?: StreamVersion[];
  /** Counts against `maxConcurrent`: local calls do not, they are part of one that does. */
  counted: boolean;
}

/** What is known of an answer beside what is sent of it. */
export interface Facts {
  mask: Mask | undefined;
  etag: string | undefined;
  /** The answer before its mask. */
  whole: Record<string, unknown>;
}

/** An answer, and what goes beside it. */
interface Answered<Answer> {
  answer: Answer;
  consistency: string | undefined;
  /** Whole seconds: no part of the answer is older. Undefined: all of it was read for this call. */
  age: string | undefined;
}

/** How a call ended. */
export type Outcome<Answer> = {
  /** The id of the call, from the header x-request-id; not the idempotency key of a command. */
  requestId: string;
} & (({ ok: true } & Answered<Answer>) | { ok: false; error: CaudalError });

export interface Pipeline {
  run<Answer>(endpoint: Endpoint, incoming: Incoming<Answer>): Promise<Outcome<Answer>>;
  /** Calls in flight. */
  active(): number;
  /** What a call that would be one too many is refused with; undefined while there is room. */
  full(): CaudalError | undefined;
  /** Resolves when no call is in flight. */
  idle(): Promise<void>;
  /** Ends all calls in flight: their signals fire, their callers get UNAVAILABLE. */
  abort(): void;
}

export function createPipeline(limits: Limits): Pipeline {
  let active = 0;
  const waiting: (() => void)[] = [];
  // What ends each call in flight; their number is bounded by the limit.
  const ends = new Set<() => void>();
  let stopping = false;
  const whenStopping: When = (end) => {
    if (stopping) end();
    else ends.add(end);
    return () => ends.delete(end);
  };
  const full = () => (active >= limits.maxConcurrent ? busy() : undefined);
  const enter = () => {
    active++;
    inFlight.set(active);
  };
  const leave = () => {
    active--;
    inFlight.set(active);
    if (active === 0) for (const resolve of waiting.splice(0)) resolve();
  };

  async function run<Answer>(endpoint: Endpoint, incoming: Incoming<Answer>): Promise<Outcome<Answer>> {
    const requestId = idHeader(incoming.header, headerNames.requestId) ?? newId();
    return observe(endpoint.contract, requestId, extractTrace(incoming.header), async (trace) => {
      try {
        const refusal = incoming.counted ? full() : undefined;
        if (refusal) throw refusal;
        const answer = await answerTo(endpoint, incoming, requestId, traceparentOf(trace));
        return { ok: true, requestId, ...answer };
      } catch (error) {
        return { ok: false, requestId, error: toClientError(error) };
      }
    });
  }

  async function answerTo<Answer>(
    endpoint: Endpoint,
    incoming: Incoming<Answer>,
    requestId: string,
    traceparent: string,
  ): Promise<Answered<Answer>> {
    const { contract } = endpoint;
    const timer = startTimer(incoming, limits, whenStopping);
    if (incoming.counted) enter();
    let released = !incoming.counted;
    const release = () => {
      if (!released) leave();
      released = true;
    };
    try {
      const work = async () => {
        const caller = await incoming.authenticate();
        const grant = checkPermission(contract, caller);
        const bound = boundOf(contract, limits.maxMessageBytes);
        if (incoming.bytes !== undefined && incoming.bytes > bound) throw tooLarge(bound);
        const request = incoming.decode();
        if (endpoint.ownerProperty !== undefined) {
          checkOwnerField(contract, grant, caller, (request as Record<string, unknown>)[endpoint.ownerProperty]);
        }
        endpoint.validate(request);
        const mask = endpoint.readMask?.(request);
        let authorized = !contract.access.ownerInResource;
        const written = new Map<string, number>();
        let oldestMs: number | undefined;
        const call: Call = {
          caller,
          method: contract.path,
          origin: {
            actor: caller.subject,
            causationId: idHeader(incoming.header, headerNames.causationId) ?? requestId,
            correlationId: idHeader(incoming.header, headerNames.correlationId) ?? requestId,
            traceparent,
          },
          commandId: endpoint.commandId?.(request, caller.subject),
          deadline: timer.deadline,
          get signal() {
            return timer.signal;
          },
          consistency: incoming.consistency ?? decodeConsistency(incoming.header(headerNames.consistency)),
          wrote(stream, version) {
            written.set(stream, Math.max(version, written.get(stream) ?? 0));
          },
          remembered(ageMs) {
            oldestMs = Math.max(ageMs, oldestMs ?? 0);
          },
          authorize(owner) {
            checkOwner(contract, grant, caller, owner);
            authorized = true;
          },
        };
        timer.throwIfEnded();
        const response = (await endpoint.handler(request, call)) as Record<string, unknown>;
        if (!authorized) throw new Error(`${contract.path} answered without call.authorize(owner): nothing was sent.`);
        return { response, mask, written, oldestMs };
      };
      // A handler that overruns keeps its place until it ends: the bound is on work, not on answers.
      const done = work().finally(release);
      const { response, mask, written, oldestMs } = await Promise.race([done, timer.fired]);
      const etag = endpoint.hasEtag ? (response.etag as string) || undefined : undefined;
      const masked = mask ? applyMask(contract.response, response, mask) : response;
      const streams = [...written].map(([stream, version]) => ({ stream, version }));
      return {
        answer: incoming.encode(masked, { mask, etag, whole: response }),
        consistency: encodeConsistency(streams),
        age: oldestMs === undefined ? undefined : String(Math.ceil(oldestMs / 1000)),
      };
    } catch (error) {
      throw timer.explain(error);
    } finally {
      timer.stop();
    }
  }

  return {
    run,
    active: () => active,
    full,
    idle: () => (active === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    abort() {
      stopping = true;
      for (const end of ends) end();
    },
  };
}

/**
 * What those are told who are one too many. Made ahead, and told again and again: an exception costs more to make than all
 * else about a refusal, and a server that has too much to do makes thousands a second. Spread, so that those refused
 * together do not come back together.
 */
const busyAnswers = Array.from(
  { length: 64 },
  (_, place) =>
    new CaudalError('RESOURCE_EXHAUSTED', 'SERVER_BUSY', 'The server has as many calls in flight as it takes.', {
      retryAfterMs: Math.round(500 + (1000 * place) / 64),
    }),
);

const busy = () => busyAnswers[Math.floor(Math.random() * busyAnswers.length)]!;
