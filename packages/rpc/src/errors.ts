/** CaudalError as a gRPC status and back: with google.rpc details in `grpc-status-details-bin`. */
import { create, type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { contract } from '@caudal/contract/descriptors.ts';
import { CaudalError, type Code, codes, type FieldViolation, unavailable } from '@caudal/kernel/errors.ts';
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { maxViolations } from './schema/validation.ts';

const domain = 'caudal';
export const detailsKey = 'grpc-status-details-bin';
/** Many clients accept 8 KiB of trailers at most, and base64 makes four bytes of three. */
const maxDetailsBytes = 4_096;
const maxMessageCharacters = 1_000;
const maxFactCharacters = 500;

/** Anything thrown, as clients may see it: a CaudalError as it is, anything else as INTERNAL. */
export function toClientError(error: unknown): CaudalError {
  if (error instanceof CaudalError) return error;
  return new CaudalError('INTERNAL', 'INTERNAL', 'Something went wrong on our side.', { cause: error });
}

/** The texts of an error for clients. Some of them repeat what the client sent, so all of them are bounded here. */
export function toldOf({ message, metadata, violations }: CaudalError): ToldOf {
  const fact = (text: string) => shorten(text, maxFactCharacters);
  return {
    message: shorten(message, maxMessageCharacters),
    metadata: Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, fact(text)])),
    violations: violations
      .slice(0, maxViolations)
      .map(({ field, description }) => ({ field: fact(field), description: fact(description) })),
  };
}

type ToldOf = Pick<CaudalError, 'message' | 'metadata' | 'violations'>;

/** The status with which grpc-js ends a failed call. The details are added to `metadata`. */
export function toStatus(
  error: CaudalError,
  metadata: Metadata,
): { code: status; details: string; metadata: Metadata } {
  const told = toldOf(error);
  metadata.set(detailsKey, statusDetails(error, told));
  return { code: status[error.code], details: told.message, metadata };
}

/** The same as a google.rpc.Status, for an answer that has an error. */
export const statusBytes = (error: CaudalError): Buffer => statusDetails(error, toldOf(error));

/**
 * The CaudalError of an error that grpc-js reports. `peer` is the name of the called service, for messages. `gaveUp` is
 * true if this client cancelled the call.
 */
export function fromStatus(error: ServiceError, peer: string, gaveUp = false): CaudalError {
  const code = (status[error.code] ?? 'INTERNAL') as Code | 'UNKNOWN' | 'DATA_LOSS' | 'OK';
  // The peer, or a proxy on the way, has dropped the call.
  if (code === 'CANCELLED' && !gaveUp) return unavailable(peer, error);
  const [bytes] = error.metadata?.get(detailsKey) ?? [];
  if (bytes instanceof Buffer && isCode(code)) {
    const details = readDetails(bytes);
    if (details) return new CaudalError(code, details.reason, error.details, { ...details, cause: error });
  }
  // Without details the error is from grpc-js itself, from a proxy, or from a server that is not Caudal's.
  if (code === 'UNAVAILABLE') return unavailable(peer, error);
  // A connection broke within a call. A handler's error never gets here, since Caudal's servers always send details.
  if ((code === 'INTERNAL' || code === 'UNKNOWN') && !ownFault.test(error.details)) return unavailable(peer, error);
  if (!isCode(code) || code === 'INTERNAL')
    return new CaudalError('INTERNAL', 'INTERNAL', `${peer} failed: ${error.details}`, { cause: error });
  // grpc-js has the same code for a message that is too large and for a busy server. Only the text differs.
  if (code === 'RESOURCE_EXHAUSTED' && /larger than/.test(error.details))
    return new CaudalError(code, 'REQUEST_TOO_LARGE', error.details, { cause: error });
  return new CaudalError(code, reasonOf[code] ?? code, error.details || code, { cause: error });
}

/** grpc-js could not write or read a message here: a bug, so waiting does not help. Only the text shows it. */
const ownFault = /^(Request message serialization failure|Response message parsing error)/;

const reasonOf: Partial<Record<Code, string>> = { CANCELLED: 'CALL_CANCELLED', RESOURCE_EXHAUSTED: 'SERVER_BUSY' };

const known = new Set<string>(codes);
const isCode = (code: string): code is Code => known.has(code);

function shorten(whole: string, maxCharacters: number): string {
  const text = whole.length > maxCharacters ? `${whole.slice(0, maxCharacters)}...` : whole;
  // grpc-js percent-encodes the text, which throws on half a surrogate pair.
  return text.toWellFormed();
}

function type(name: string): DescMessage {
  const found = contract().registry.getMessage(`google.rpc.${name}`);
  if (!found) throw new Error(`The contract lacks google.rpc.${name}.`);
  return found;
}

/** A google.rpc.Status, with as many violations as fit. */
function statusDetails(error: CaudalError, { message, metadata, violations: all }: ToldOf): Buffer {
  for (let violations = all; ; violations = violations.slice(0, violations.length >> 1)) {
    const details = [detail('ErrorInfo', { reason: error.reason, domain, metadata })];
    if (violations.length > 0) details.push(detail('BadRequest', { fieldViolations: violations }));
    if (error.retryAfterMs !== undefined) {
      const ms = Math.ceil(error.retryAfterMs);
      details.push(
        detail('RetryInfo', { retryDelay: { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1e6 } }),
      );
    }
    const bytes = toBinary(
      type('Status'),
      create(type('Status'), { code: status[error.code], message, details } as never),
    );
    if (bytes.length <= maxDetailsBytes || violations.length === 0) return Buffer.from(bytes);
  }
}

function detail(name: string, fields: object): Any {
  return anyPack(type(name), create(type(name), fields as never));
}

/** The content of a status's details; undefined if they are not Caudal's. */
function readDetails(bytes: Uint8Array) {
  let reason: string | undefined;
  let metadata: Record<string, string> = {};
  let violations: FieldViolation[] = [];
  let retryAfterMs: number | undefined;
  try {
    const { details } = fromBinary(type('Status'), bytes) as Message & { details: Any[] };
    for (const packed of details) {
      const found = anyUnpack(packed, contract().registry) as unknown;
      if (packed.typeUrl.endsWith('/google.rpc.ErrorInfo')) {
        ({ reason, metadata } = found as { reason: string; metadata: Record<string, string> });
      } else if (packed.typeUrl.endsWith('/google.rpc.BadRequest')) {
        violations = (found as { fieldViolations: FieldViolation[] }).fieldViolations.map(({ field, description }) => ({
          field,
          description,
        }));
      } else if (packed.typeUrl.endsWith('/google.rpc.RetryInfo')) {
        const { retryDelay } = found as { retryDelay?: { seconds: bigint; nanos: number } };
        if (retryDelay) retryAfterMs = Number(retryDelay.seconds) * 1000 + retryDelay.nanos / 1e6;
      }
    }
  } catch {
    return undefined;
  }
  return reason ? { reason, metadata: { ...metadata }, violations, retryAfterMs } : undefined;
}
