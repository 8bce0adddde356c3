/**
 * The only error that may reach a client. Any other error that is thrown is a bug and becomes INTERNAL without details.
 *
 * Codes are gRPC's canonical ones. `reason` is for programs: it names what happened (google.rpc.ErrorInfo).
 */
export const codes = [
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'RESOURCE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'UNIMPLEMENTED',
  'UNAVAILABLE',
  'INTERNAL',
] as const;

export type Code = (typeof codes)[number];

/** A field of the request that is wrong, and the fix. */
export interface FieldViolation {
  /** Path in the request, as the contract spells it: `lines[2].quantity`. */
  field: string;
  description: string;
}

export interface ErrorDetails {
  violations?: FieldViolation[];
  /** How long to wait before a repeat, in milliseconds. */
  retryAfterMs?: number;
  /** Facts for programs: google.rpc.ErrorInfo.metadata. */
  metadata?: Record<string, string>;
  cause?: unknown;
}

export class CaudalError extends Error {
  readonly code: Code;
  /** UPPER_SNAKE, unique in the catalogue of reasons. */
  readonly reason: string;
  readonly violations: FieldViolation[];
  readonly retryAfterMs: number | undefined;
  readonly metadata: Record<string, string>;

  constructor(code: Code, reason: string, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.name = 'CaudalError';
    this.code = code;
    this.reason = reason;
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.metadata = details.metadata ?? {};
  }
}

/** A field of the request is wrong. */
export function invalidField(field: string, description: string, reason = 'INVALID_FIELD'): CaudalError {
  return new CaudalError('INVALID_ARGUMENT', reason, `${field}: ${description}`, {
    violations: [{ field, description }],
  });
}

/** The resource does not exist. `kind` and `id` as a client knows them: `order`, `0190...`. */
export function notFound(kind: string, id: string): CaudalError {
  const reason = `${kind.toUpperCase()}_NOT_FOUND`;
  return new CaudalError('NOT_FOUND', reason, `There is no ${kind} "${id}".`, { metadata: { [kind]: id } });
}

/** A rule of the domain refuses the command. It may succeed once the state has changed. */
export function refused(reason: string, message: string, details?: ErrorDetails): CaudalError {
  return new CaudalError('FAILED_PRECONDITION', reason, message, details);
}

/** A dependency can't be reached. `dependency` names it for people: `PostgreSQL`, `inventory`. */
export function unavailable(dependency: string, cause?: unknown, retryAfterMs = 1000): CaudalError {
  return new CaudalError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE', `${dependency} can't be reached at the moment.`, {
    cause,
    retryAfterMs,
    metadata: { dependency },
  });
}

/**
 * Whether a code stands for a fault of the server, as in OpenTelemetry's conventions for rpc. Only such codes make a
 * server's span an error; faults of the client do not.
 */
export function isServerFault(code: string): boolean {
  return serverFaults.has(code);
}

const serverFaults = new Set<string>([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
] satisfies Code[]);

export function isCode(error: unknown, ...codes: Code[]): error is CaudalError {
  return error instanceof CaudalError && codes.includes(error.code);
}

/**
 * Whether the same call may succeed later. After such an error a consumer waits and repeats, instead of counting a
 * failure of the message.
 */
export function isTransient(error: unknown): error is CaudalError {
  if (!isCode(error, 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'ABORTED', 'CANCELLED')) return false;
  // A request that is too large is as large at the next attempt.
  return error.reason !== 'REQUEST_TOO_LARGE';
}
