/**
 * What a call leaves in the audit log (docs/audit.md). The server is given what writes the record; here stands
 * which calls have one, and what it says. A call that is forwarded has records of both processes: so none gets around them by coming as a
 * forwarded one.
 */
import type { DescMessage } from '@bufbuild/protobuf';
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type Caller, isNamedService } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { toClientError } from '../errors.ts';
import { type HeaderReader, headerNames } from '../headers.ts';
import { propertyOf } from '../schema/field-names.ts';
import type { Grant } from './access.ts';

export interface CallRecord {
  kind: 'ACT' | 'PERSONAL' | 'DENIAL';
  subject: string;
  /** The id of the token or key; never the secret. */
  credential: string;
  address: string;
  requestId: string;
  /** `caudal.orders.v1.OrderService/PlaceOrder` */
  method: string;
  /** What the request names: `w-17`. */
  resource: string;
  /** `BEGUN`, `OK`, or the reason of the error. */
  outcome: string;
  /** Why, in the caller's words. */
  reason: string;
  /** What it has changed: `payments.wallet/w-17@12`, streams with their versions. */
  wrote: string;
  /** There can be as many of these as callers like, so they are bounded, and counted beyond that. */
  bounded?: true;
}

export interface AuditTrail {
  /** Resolves when the record is on disk. Rejects with a CaudalError: then the call is refused with it. */
  write(record: CallRecord): Promise<void>;
  /** Takes the record, to be written soon. Never throws. */
  note(record: CallRecord): void;
}

/** What is known of a call while it is served. */
export interface AuditedCall {
  readonly requestId: string;
  readonly header: HeaderReader;
  readonly address: string | undefined;
  caller?: Caller;
  grant?: Grant;
  request?: unknown;
  /** Whether the request was found to be valid. */
  valid?: boolean;
  /** Whether there is a record that it has begun. */
  begun?: boolean;
  /** The streams that it has written, with their versions. */
  written?: ReadonlyMap<string, { version: number }>;
  /** Whether the request is about another owner than the caller. */
  forAnother?: boolean;
  /** Whether another process has done it, which has its record then. */
  elsewhere?: boolean;
}

/** Streams that a record names. */
const mostStreams = 3;
const refusals = new Set(['UNAUTHENTICATED', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED']);

/**
 * Records an act before it is done. Undefined if nothing has to be waited for: the call is no act, or concerns the caller's own
 * resource.
 */
export function beginAct(trail: AuditTrail, contract: MethodContract, call: AuditedCall): Promise<void> | undefined {
  if (!contract.audit.act || isOwn(contract, call)) return undefined;
  return trail.write(recordOf('ACT', 'BEGUN', contract, call)).then(() => {
    call.begun = true;
  });
}

/**
 * Records how the work of an act ends, and once it is done a command that a caller for all owners has given for another one. That may
 * be later than the caller is answered: then at the deadline.
 */
export function endAct(trail: AuditTrail, contract: MethodContract, call: AuditedCall, work: Promise<unknown>): void {
  if (!contract.audit.act) {
    if (isOwnersCommand(contract))
      work.then(
        () => {
          if (isForAnother(call)) trail.note({ ...recordOf('ACT', 'OK', contract, call), bounded: true });
        },
        () => {},
      );
    return;
  }
  const note = (outcome: string) => {
    const record = recordOf('ACT', outcome, contract, call);
    if (call.begun) trail.note(record);
    // Of one that was refused nothing has happened, and anyone could fill the log with those.
    else if (outcome === 'OK' && call.valid && isOwn(contract, call)) trail.note({ ...record, bounded: true });
  };
  work.then(
    () => note('OK'),
    (error: unknown) => note(toClientError(error).reason),
  );
}

/** Records a read of personal data, or a refusal. */
export function endCall(
  trail: AuditTrail,
  contract: MethodContract,
  call: AuditedCall,
  ending: { ok: true } | { ok: false; error: CaudalError },
): void {
  const { act, personal } = contract.audit;
  if (!ending.ok) {
    const { code, reason } = denialIn(ending.error);
    if (refusals.has(code)) trail.note(recordOf('DENIAL', reason, contract, call));
  } else if (personal && !act && !isOwnersCommand(contract) && !isOwn(contract, call))
    trail.note(recordOf('PERSONAL', 'OK', contract, call));
}

/** What the error is without what its caller must not learn: another's resource is answered as if there were none (concealing.ts). */
function denialIn(error: CaudalError): CaudalError {
  return error.cause instanceof CaudalError && error.cause.reason === 'NOT_OWNER' ? error.cause : error;
}

/** Records the refusal of a call that is no method of the contract: a stream between processes. */
export function noteRefusal(
  trail: AuditTrail,
  call: { method: string; caller: Caller | undefined; address: string | undefined; error: CaudalError },
): void {
  const { method, caller, address = '', error } = call;
  if (!refusals.has(error.code)) return;
  trail.note({
    ...{ kind: 'DENIAL', ...whoIs(caller), address, requestId: '', method: method.slice(1) },
    ...{ resource: '', outcome: error.reason, reason: '', wrote: '' },
  });
}

const whoIs = (caller: (Caller & { credential?: string }) | undefined) => ({
  subject: caller?.subject ?? '',
  credential: caller?.credential ?? '',
});

/** Whether the caller may use its own resources only, as far as the method has owners. */
function isOwn(contract: MethodContract, { grant }: AuditedCall): boolean {
  return isOwned(contract) && grant?.any === false;
}

const isOwned = ({ access }: MethodContract): boolean => access.ownerField !== undefined || access.ownerInResource;

/** A command that owners give: if another gives it for them, that is one record, of an act. */
const isOwnersCommand = (contract: MethodContract): boolean => isOwned(contract) && !contract.noSideEffects;

/** Services do what others have asked for, and each call of theirs has a cause in the log. */
const isForAnother = ({ grant, caller, forAnother, elsewhere }: AuditedCall): boolean =>
  grant?.any === true && forAnother === true && !elsewhere && caller !== undefined && !isNamedService(caller);

function recordOf(kind: CallRecord['kind'], outcome: string, contract: MethodContract, call: AuditedCall): CallRecord {
  const { caller, requestId, address = '' } = call;
  return {
    kind,
    ...whoIs(caller),
    address,
    requestId,
    method: contract.path.slice(1),
    resource: textOf(contract.request, contract.audit.resource, call.request),
    outcome,
    // Nothing that the request holds: it may be personal, and a record can't be erased.
    reason: call.header(headerNames.auditReason) ?? '',
    wrote: [...(call.written ?? [])]
      .slice(0, mostStreams)
      .map(([stream, { version }]) => `${stream}@${version}`)
      .join(' '),
  };
}

/** The first of these fields that has a text. */
function textOf(type: DescMessage, names: string[], request: unknown): string {
  if (typeof request !== 'object' || request === null) return '';
  for (const name of names) {
    const field = type.fields.find((candidate) => candidate.name === name);
    const value = field && (request as Record<string, unknown>)[propertyOf(field)];
    if (typeof value === 'string' && value !== '') return value;
  }
  return '';
}
