/** CaudalError as problem+json (RFC 9457). */
import type { CaudalError, Code, FieldViolation } from '@caudal/kernel/errors.ts';
import { toldOf } from '../errors.ts';

/** The mapping of google.rpc.Code. Some reasons have a more exact status, below. */
const statusOfCode: Record<Code, number> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  RESOURCE_EXHAUSTED: 429,
  CANCELLED: 499,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

const statusOfReason: Record<string, number> = {
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  ETAG_MISMATCH: 412,
  REQUEST_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  REQUEST_ID_REUSED: 422,
  HEADERS_TOO_LARGE: 431,
};

const titles: Record<Code, string> = {
  INVALID_ARGUMENT: 'Invalid request',
  FAILED_PRECONDITION: 'Refused in the present state',
  OUT_OF_RANGE: 'Out of range',
  UNAUTHENTICATED: 'Not authenticated',
  PERMISSION_DENIED: 'Not allowed',
  NOT_FOUND: 'Not found',
  ALREADY_EXISTS: 'Exists already',
  ABORTED: 'Changed by another writer',
  RESOURCE_EXHAUSTED: 'Too much at once',
  CANCELLED: 'Cancelled',
  INTERNAL: 'Internal error',
  UNIMPLEMENTED: 'Not supported',
  UNAVAILABLE: 'Unavailable at the moment',
  DEADLINE_EXCEEDED: 'Took too long',
};

export interface Problem {
  /** A URN of the reason; the same for each occurrence. */
  type: string;
  title: string;
  status: number;
  detail: string;
  /** A URN of this occurrence: `urn:caudal:request:<request id>`. */
  instance: string;
  /** The code of gRPC. */
  code: Code;
  reason: string;
  metadata?: Record<string, string>;
  violations?: FieldViolation[];
  retryAfterMs?: number;
}

/** The HTTP status of an error. */
export function httpStatus(error: CaudalError): number {
  return statusOfReason[error.reason] ?? statusOfCode[error.code];
}

/** The body of the answer for an error of the request with this id. */
export function toProblem(error: CaudalError, requestId: string): Problem {
  const { code, reason, retryAfterMs } = error;
  const { message, metadata, violations } = toldOf(error);
  return {
    type: `urn:caudal:reason:${reason}`,
    title: titles[code],
    status: httpStatus(error),
    detail: message,
    instance: `urn:caudal:request:${requestId}`,
    code,
    reason,
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(violations.length > 0 && { violations }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}
