/**
 * The steps of every call, over gRPC, REST or within the process:
 *
 *   (admission.ts) -> permission -> length -> decode -> owner -> rules -> handler -> mask -> encode
 *
 * The deadline covers all of them. Each call ends with a metric, a span and a log line. Nothing here throws.
 */
import { type Caller, isNamedService } from '@caudal/kernel/context.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { toClientError } from '../errors.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { type Handled, handle, isForwardable } from '../forward/forwarding.ts';
import { extractTrace, type HeaderReader, headerNames, idHeader, traceparentOf } from '../headers.ts';
import { applyMask, type Mask } from '../schema/mask.ts';
import type { Call } from '../types.ts';
import { checkOwner, checkOwnerField, checkPermission, checkScope } from './access.ts';
import { type AuditedCall, type AuditTrail, beginAct, endAct, endCall } from './audit.ts';
import { concealing } from './concealing.ts';
import { decodeConsistency, encodeConsistency, type StreamVersion, writtenText } from './consistency-token.ts';
import { startTimer, type When } from './deadline.ts';
import type { Endpoint } from './endpoint.ts';
import { type HeavyLimits, openHeavyTurns } from './heavy-turns.ts';
import { useIdempotencyKey } from './idempotency-key.ts';
import { observe } from './observe.ts';
import { openPlaces, type Place, type PlaceLimits, type Places } from './places.ts';
import { readStrengthOf } from './read-strength.ts';
import { boundOf, tooLarge } from './request-size.ts';

export interface Limits extends PlaceLimits, HeavyLimits {
  /** The deadline of calls without one, in milliseconds. */
  defaultTimeoutMs: number;
  /** The longest deadline of a call, in milliseconds. */
  maxTimeoutMs: number;
  /** The most bytes of a request, for methods without a bound in the contract. */
  maxMessageBytes: number;
}

/** One call as it was received, and how its answer is encoded. */
export interface Incoming<Answer> {
  authenticate(): Caller | Promise<Caller>;
  header: HeaderReader;
  deadline?: Date;
  /** Calls back when the caller disconnects. */
  whenGone?: When;
  /** The request's length as received, decompressed; undefined if it is not bytes. */
  bytes?: number;
  /** Creates the request message; may throw CaudalError. */
  decode(): unknown;
  encode(response: unknown, facts: Facts): Answer;
  /** The streams that the caller wants to see, if they are not in a header. */
  consistency?: StreamVersion[];
  /** Whether a caller within the process wants the answer's consistency token. Others get it. */
  wantsConsistency?: boolean;
  /** The caller's credentials, if they are not in the header `authorization`. */
  authorization?(): Promise<string | undefined>;
  /** Another process has forwarded it: it is decided here, and does not take a place of the callers of this process. */
  forwarded?: boolean;
  /** The place of an admitted call. Local calls have none: they are part of a call that has. Nor has a call that was refused. */
  place?: Place;
  /** The address that the call comes from; undefined within the process. */
  address?: string;
  /** Who calls, if the call was refused before its request was read but after that was known: for the audit log. */
  refused?: Caller | undefined;
}

/** What is known of an answer in addition to its content. */
export interface Facts {
  mask: Mask | undefined;
  etag: string | undefined;
  /** The answer before its mask is applied. */
  whole: Record<string, unknown>;
  /** The handler has read it, or a part of it, from a memory: what it gives again is the same object, and never changes. */
  isRemembered: boolean;
}

/** An answer and its headers. */
interface Answered<Answer> {
  answer: Answer;
  consistency: string | undefined;
  /** In whole seconds: no part of the answer is older. Undefined if all of it was read for this call. */
  age: string | undefined;
}

/** How a call ended. */
export type Outcome<Answer> = {
  /** The id of the call, from the header x-request-id. It is not the idempotency key of a command. */
  requestId: string;
} & (({ ok: true } & Answered<Answer>) | { ok: false; error: CaudalError });

export interface Pipeline {
  run<Answer>(endpoint: Endpoint, incoming: Incoming<Answer>): Promise<Outcome<Answer>>;
  places: Places;
  /** Ends all calls in flight: their signals fire, and their callers get UNAVAILABLE. */
  abort(): void;
}

export interface PipelineOptions {
  /** Absent if every call is decided in this process. */
  forwarder?: Forwarder | undefined;
  /** The present epoch of the log of a stream; 0 for the first one. */
  epochOf?: ((stream: string) => number) | undefined;
  /** Where the records of calls go; absent: nowhere. */
  audit?: AuditTrail | undefined;
}

export function createPipeline(
  limits: Limits,
  { forwarder, epochOf = () => 0, audit }: PipelineOptions = {},
): Pipeline {
  const places = openPlaces(limits);
  const heavy = openHeavyTurns(limits);
  // A function for each call in flight that ends it. The places bound their number.
  const ends = new Set<() => void>();
  let stopping = false;
  const whenStopping: When = (end) => {
    if (stopping) end();
    else ends.add(end);
    return () => ends.delete(end);
  };
  async function run<Answer>(endpoint: Endpoint, incoming: Incoming<Answer>): Promise<Outcome<Answer>> {
    const requestId = idHeader(incoming.header, headerNames.requestId) ?? newId();
    const of = { requestId, parent: extractTrace(incoming.header), forwarded: incoming.forwarded === true };
    const audited: AuditedCall = { requestId, header: incoming.header, address: incoming.address };
    if (incoming.refused) audited.caller = incoming.refused;
    const outcome = await observe<Outcome<Answer>>(endpoint.contract, of, async (trace) => {
      try {
        const answer = await answerTo(endpoint, incoming, audited, traceparentOf(trace));
        return { ok: true, requestId, ...answer };
      } catch (error) {
        return { ok: false, requestId, error: toClientError(error) };
      }
    });
    if (audit) endCall(audit, endpoint.contract, audited, outcome);
    return outcome;
  }

  async function answerTo<Answer>(
    endpoint: Endpoint,
    incoming: Incoming<Answer>,
    audited: AuditedCall,
    traceparent: string,
  ): Promise<Answered<Answer>> {
    const { contract } = endpoint;
    const { requestId } = audited;
    const timer = startTimer(incoming, limits, whenStopping);
    const release = incoming.forwarded ? places.enterForwarded() : (incoming.place?.hold() ?? nothing);
    try {
      const work = async () => {
        const caller = await incoming.authenticate();
        audited.caller = caller;
        const grant = checkPermission(contract, caller);
        audited.grant = grant;
        const bound = boundOf(contract, limits.maxMessageBytes);
        if (incoming.bytes !== undefined && incoming.bytes > bound) throw tooLarge(bound);
        const request = incoming.decode();
        audited.request = request;
        const idempotencyKey = endpoint.takesKey ? incoming.header(headerNames.idempotencyKey) : undefined;
        if (idempotencyKey !== undefined) useIdempotencyKey(request as { requestId: string }, idempotencyKey);
        if (endpoint.ownerProperty !== undefined) {
          const owner = (request as Record<string, unknown>)[endpoint.ownerProperty];
          checkOwnerField(contract, grant, caller, owner);
          audited.forAnother = owner !== caller.subject;
        }
        if (endpoint.scopeProperty !== undefined) {
          checkScope(contract, grant, caller, (request as Record<string, unknown>)[endpoint.scopeProperty]);
        }
        endpoint.validate[isNamedService(caller) ? 'service' : 'caller'](request);
        audited.valid = true;
        const mask = endpoint.readMask?.(request);
        let authorized = !contract.access.ownerInResource;
        const balances: (() => Promise<unknown>)[] = [];
        const concealed = concealing(endpoint, grant, { balances, isAuthorized: () => authorized });
        const written = new Map<string, { version: number; epoch: number }>();
        audited.written = written;
        let oldestMs: number | undefined;
        let mayForward = forwarder !== undefined && !incoming.forwarded && isForwardable(endpoint);
        const commandId = endpoint.commandId?.(request, caller.subject);
        const consistency =
          incoming.consistency ?? decodeConsistency(incoming.header(headerNames.consistency), contract.noSideEffects);
        const call: Call = {
          caller,
          method: contract.path,
          origin: {
            actor: caller.subject,
            causationId: idHeader(incoming.header, headerNames.causationId) ?? requestId,
            correlationId: idHeader(incoming.header, headerNames.correlationId) ?? requestId,
            traceparent,
          },
          commandId,
          get forwardable() {
            return mayForward && written.size === 0;
          },
          deadline: timer.deadline,
          get signal() {
            return timer.signal;
          },
          consistency,
          readStrength: readStrengthOf(contract, incoming.header(headerNames.readStrength), consistency.length > 0),
          wrote(stream, version, epoch = epochOf(stream)) {
            const known = written.get(stream);
            // Of a stream that does not exist there is nothing to wait for.
            if (version > 0 && (!known || epoch > known.epoch || version > known.version))
              written.set(stream, { version, epoch });
          },
          remembered(ageMs) {
            oldestMs = Math.max(ageMs, oldestMs ?? 0);
          },
          balance(work) {
            balances.push(work);
          },
          authorize(owner) {
            checkOwner(contract, grant, caller, owner);
            authorized = true;
            // Without an owner a handler only asks whether the caller may act for all.
            if (owner) audited.forAnother = owner !== caller.subject;
          },
        };
        const begun = audit && beginAct(audit, contract, audited);
        if (begun) await begun;
        timer.throwIfEnded();
        // A call within the process is part of one that has its turn.
        const turn =
          incoming.place && contract.rateLimit === 'HEAVY' ? heavy.take(incoming.place.party, timer) : undefined;
        const endTurn = turn instanceof Promise ? await turn : turn;
        const handling =
          mayForward && forwarder
            ? handle(forwarder, {
                endpoint: concealed,
                request,
                call,
                requestId,
                header: incoming.header,
                address: incoming.address,
                authorization: incoming.authorization ?? (async () => incoming.header(headerNames.authorization)),
                stay() {
                  mayForward = false;
                },
              })
            : handleHere(concealed, request, call);
        const handled = await (endTurn ? handling.finally(endTurn) : handling);
        audited.elsewhere = handled.elsewhere;
        const response = handled.response as Record<string, unknown>;
        if (!authorized && !handled.elsewhere)
          throw new Error(`${contract.path} answered without call.authorize(owner): nothing was sent.`);
        return { response, mask, written, oldestMs };
      };
      // A handler that runs past the deadline keeps its place until it ends: the bound is on work, not on answers.
      const done = work().finally(release);
      if (audit) endAct(audit, contract, audited, done);
      const { response, mask, written, oldestMs } = await Promise.race([done, timer.fired]);
      const etag = endpoint.hasEtag ? (response.etag as string) || undefined : undefined;
      const masked = mask ? applyMask(contract.response, response, mask) : response;
      const streams = [...written].map(([stream, last]) => ({ stream, ...last }));
      return {
        answer: incoming.encode(masked, { mask, etag, whole: response, isRemembered: oldestMs !== undefined }),
        consistency: consistencyFor(incoming, streams),
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
    places,
    abort() {
      stopping = true;
      for (const end of ends) end();
    },
  };
}

async function handleHere({ handler }: Endpoint, request: unknown, call: Call): Promise<Handled> {
  return { response: await handler(request, call), elsewhere: false };
}

/** Callers get it sealed, processes that forward as it is; a call within the process mostly has no use for it. */
function consistencyFor(
  { forwarded, place, wantsConsistency }: Incoming<unknown>,
  streams: StreamVersion[],
): string | undefined {
  if (forwarded) return writtenText(streams);
  return place || wantsConsistency ? encodeConsistency(streams) : undefined;
}

const nothing = () => {};
