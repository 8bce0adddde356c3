/** Runs a call's handler, or has the call done by the process that owns the stream it concerns: see docs/owners.md. */
import type { ForwardedAnswer } from '@caudal/contract/gen/caudal/forward/v1/forward.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { ForwardToOwner, type Route } from '@caudal/kernel/forward.ts';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { detailsKey, fromStatus } from '../errors.ts';
import { type HeaderReader, headerNames } from '../headers.ts';
import { readWritten } from '../server/consistency-token.ts';
import type { Endpoint } from '../server/endpoint.ts';
import type { Call } from '../types.ts';
import type { Forwarder } from './forwarder.ts';
import { type ForwardOutcome, forwardedCalls } from './metrics.ts';
import type { PeerOutcome } from './peer.ts';

/** A call is forwarded this often at most; then it is decided here. */
const maxHops = 2;

export interface ForwardableCall {
  endpoint: Endpoint;
  request: unknown;
  call: Call;
  /** The caller's own credentials, as an Authorization header; undefined if the servers require none. */
  authorization(): Promise<string | undefined>;
  requestId: string;
  header: HeaderReader;
  /** The address that the call comes from; undefined within the process. */
  address: string | undefined;
  /** From now on the handler decides itself. */
  stay(): void;
}

export interface Handled {
  response: unknown;
  /** Done by the owner, which has checked the resource's owner, too. */
  elsewhere: boolean;
}

/** Whether calls of the method may be forwarded: commands whose caller is known by a token. */
export function isForwardable({ contract: { noSideEffects, access } }: Endpoint): boolean {
  return !noSideEffects && (access.authentication === 'TOKEN' || access.authentication === 'SERVICE');
}

/** What came of one forward. */
type Step =
  | { kind: 'done'; response: unknown }
  /** The handler runs again. `unknown`: the owner may have done the call. */
  | { kind: 'again'; stay: boolean; unknown: boolean };

/** Errors: those of the handler, here or at the owner; UNAVAILABLE if it is not known whether the call was done. */
export async function handle(forwarder: Forwarder, forwardable: ForwardableCall): Promise<Handled> {
  const { endpoint, request, call } = forwardable;
  let unknown = false;
  for (let hops = 1; ; hops++) {
    try {
      return { response: await endpoint.handler(request, call), elsewhere: false };
    } catch (error) {
      if (!(error instanceof ForwardToOwner)) throw certain(error, unknown);
      const { route } = error;
      const outcome = await forwarder.forward(route, {
        method: endpoint.contract.path,
        request: endpoint.definition.requestSerialize(request),
        headers: await headersOf(forwardable),
        deadline: call.deadline,
        signal: call.signal,
        stream: route.stream,
        repeatable: call.commandId !== undefined,
      });
      let step: Step;
      try {
        step = await concluded(forwardable, route, outcome);
      } catch (failure) {
        throw certain(failure, unknown);
      }
      if (step.kind === 'done') return { response: step.response, elsewhere: true };
      unknown ||= step.unknown;
      if (step.stay || hops === maxHops) forwardable.stay();
    }
  }
}

/** What these say, that nothing was done, is not known once an owner was lost that had the call. */
const nothingDone = new Set(['STREAM_QUEUE_FULL', 'STREAM_CONTENDED', 'SERVER_BUSY', 'CALL_CANCELLED']);

function certain(error: unknown, unknown: boolean): unknown {
  if (!unknown || !(error instanceof CaudalError) || !nothingDone.has(error.reason)) return error;
  return ownerLost(error);
}

const ownerLost = (cause?: unknown) => unavailable('the process that owns the resource', cause);

async function concluded({ endpoint, call }: ForwardableCall, route: Route, outcome: PeerOutcome): Promise<Step> {
  const count = (as: ForwardOutcome) => forwardedCalls.add(1, { outcome: as });
  switch (outcome.kind) {
    case 'answered': {
      const { answer, leaving } = outcome;
      // Not waited for: the call has its answer.
      if (leaving) void route.lost('leaving');
      else route.answered(answer.ownedMillis);
      if (answer.notTaken) {
        count('refused');
        return { kind: 'again', stay: true, unknown: false };
      }
      count('answered');
      return { kind: 'done', response: responseOf(endpoint, call, answer) };
    }
    case 'refused':
      route.refused();
      count('refused');
      return { kind: 'again', stay: false, unknown: false };
    case 'leaving':
      await route.lost('leaving');
      count('repeated');
      return { kind: 'again', stay: false, unknown: false };
    case 'lost':
      await route.lost('gone');
      if (outcome.sent && !call.commandId) {
        count('unknown');
        throw ownerLost();
      }
      count('repeated');
      return { kind: 'again', stay: false, unknown: outcome.sent };
    case 'cancelled':
      count('cancelled');
      throw call.signal.reason;
  }
}

function responseOf({ definition, contract }: Endpoint, call: Call, answer: ForwardedAnswer): unknown {
  if (answer.code !== 0) throw errorOf(answer, contract.service);
  if (answer.consistencyToken !== '')
    for (const { stream, version, epoch } of readWritten(answer.consistencyToken))
      call.wrote(stream, version, epoch ?? 0);
  if (answer.age !== '') call.remembered(Number(answer.age) * 1_000);
  return definition.responseDeserialize(answer.response as Buffer);
}

function errorOf({ code, message, details }: ForwardedAnswer, service: string): CaudalError {
  const metadata = new Metadata();
  if (details.length > 0) metadata.set(detailsKey, details as Buffer);
  const error: ServiceError = Object.assign(new Error(message), { code, details: message, metadata });
  return fromStatus(error, service, true);
}

/** The caller's token, what the call passes on, and what the owner's audit record needs. A consistency token is of no use to a command. */
async function headersOf({
  authorization,
  call,
  requestId,
  header,
  address,
}: ForwardableCall): Promise<Record<string, string>> {
  const headers: Record<string, string> = {
    [headerNames.requestId]: requestId,
    [headerNames.causationId]: call.origin.causationId,
    [headerNames.correlationId]: call.origin.correlationId,
  };
  const token = await authorization();
  if (token !== undefined) headers[headerNames.authorization] = token;
  if (call.origin.traceparent) headers.traceparent = call.origin.traceparent;
  const reason = header(headerNames.auditReason);
  if (reason !== undefined) headers[headerNames.auditReason] = reason;
  if (address !== undefined) headers[headerNames.callerAddress] = address;
  return headers;
}
