/** The reasons that any method may answer with, for the catalogue of reasons. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  INVALID_REQUEST: {
    code: 'INVALID_ARGUMENT',
    meaning:
      'Fields of the request break the rules of the contract; `violations` names all of these. What only the code checks is answered after that, with reasons of its own.',
  },
  MALFORMED_REQUEST: {
    code: 'INVALID_ARGUMENT',
    meaning: 'The request is not a protobuf message, or not a JSON document, of the expected type.',
  },
  INVALID_FIELD: { code: 'INVALID_ARGUMENT', meaning: 'A field of the request is wrong; `violations` names it.' },
  INVALID_CONSISTENCY_TOKEN: {
    code: 'INVALID_ARGUMENT',
    meaning: "The consistency token is not one of Caudal's. Send the token of an answer unchanged, or leave it out.",
  },
  INVALID_READ_STRENGTH: {
    code: 'INVALID_ARGUMENT',
    meaning:
      'The header read-strength is not one of ONE, AT_LEAST, QUORUM and STRONG, or it is AT_LEAST without a consistency token.',
  },
  REQUEST_ID_REUSED: {
    code: 'INVALID_ARGUMENT',
    meaning: 'An earlier request had the same request_id and other content. Use a new id for every new request.',
  },
  REQUEST_TOO_LARGE: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      "The request has more bytes than the method's bound, `metadata.max_request_bytes`. Send less; waiting does not help.",
  },
  HEADERS_TOO_LARGE: {
    code: 'INVALID_ARGUMENT',
    meaning: 'The address and the headers have more than 16 KiB together. Send long texts in the body.',
  },
  REQUEST_TIMEOUT: { code: 'DEADLINE_EXCEEDED', meaning: 'The request did not arrive completely in time.' },
  STREAM_ENDED: {
    code: 'UNAVAILABLE',
    meaning:
      'The server reads no more of this stream: nothing has come for a while, or its connection ends. Open another one, and send again what has no answer.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    code: 'INVALID_ARGUMENT',
    meaning: 'The body is not application/json, or it is compressed. Send uncompressed JSON.',
  },
  ROUTE_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'No method has this path.' },
  METHOD_NOT_ALLOWED: {
    code: 'UNIMPLEMENTED',
    meaning: 'The path is served, but not with this HTTP method. The Allow header has those that are.',
  },
  CORS_REFUSED: {
    code: 'PERMISSION_DENIED',
    meaning:
      'A web page asks whether it may call, and its origin is not in CAUDAL_CORS_ORIGINS, or the path does not have this method.',
  },
  TLS_REQUIRED: { code: 'INVALID_ARGUMENT', meaning: 'The port takes TLS only. Begin the address with https://.' },
  CLIENT_CERTIFICATE_REQUIRED: {
    code: 'UNAUTHENTICATED',
    meaning:
      'A call of a service has come over a connection without a valid client certificate, which CAUDAL_TLS_CLIENTS demands of services.',
  },
  TOKEN_MISSING: {
    code: 'UNAUTHENTICATED',
    meaning: 'The call carries no `Authorization: Bearer` with a token or an API key.',
  },
  TOKEN_INVALID: {
    code: 'UNAUTHENTICATED',
    meaning: 'The token is not signed by a known key, or is for another audience.',
  },
  TOKEN_EXPIRED: { code: 'UNAUTHENTICATED', meaning: 'The token has expired. Get a new one.' },
  TOKEN_LIFETIME: {
    code: 'UNAUTHENTICATED',
    meaning:
      'The token is valid for longer than CAUDAL_TOKEN_MAX_LIFETIME allows, or CAUDAL_SERVICE_TOKEN_MAX_LIFETIME for one of a service. Get one with an earlier `exp`.',
  },
  TOKEN_REVOKED: {
    code: 'UNAUTHENTICATED',
    meaning: 'The token was revoked, or all tokens of its subject that were issued until then. Get a new one.',
  },
  API_KEY_INVALID: {
    code: 'UNAUTHENTICATED',
    meaning: 'The API key is unknown, revoked or expired, or its secret is wrong.',
  },
  SIGNATURE_MISSING: { code: 'UNAUTHENTICATED', meaning: 'The call of a webhook carries no `Webhook-Signature`.' },
  SIGNATURE_INVALID: {
    code: 'UNAUTHENTICATED',
    meaning: "The signature is malformed, or it fits none of the webhook's secrets with this body and time.",
  },
  SIGNATURE_EXPIRED: {
    code: 'UNAUTHENTICATED',
    meaning: "The signature's time is more than 5 minutes from the server's clock. Sign again, or correct the clock.",
  },
  WEBHOOK_ONLY: {
    code: 'UNIMPLEMENTED',
    meaning: 'The method can be called only over REST with a `Webhook-Signature`.',
  },
  PERMISSION_MISSING: {
    code: 'PERMISSION_DENIED',
    meaning: 'The token lacks the permission that `metadata.permission` names.',
  },
  NOT_OWNER: {
    code: 'PERMISSION_DENIED',
    meaning:
      "The request names another owner, and the token allows the caller's own only. A resource of another owner is answered like one that does not exist.",
  },
  INTERNAL_METHOD: { code: 'PERMISSION_DENIED', meaning: "Only Caudal's own services may call the method." },
  ETAG_MISMATCH: {
    code: 'ABORTED',
    meaning: 'The resource has changed since it was read. Read it again, then decide again.',
  },
  SERVER_BUSY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning: 'The server has as many calls in flight as its limit allows. Try again after the time given.',
  },
  CALLER_BUSY: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'The caller has its share of the calls in flight, or of their bytes, while the server has little room left. Try again after the time given.',
  },
  RATE_LIMITED: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'The caller has made its calls of this class in the present window; `metadata.policy` and `metadata.quota` name them. Try again after the time given.',
  },
  TOO_MANY_FAILED_CHECKS: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      "From the caller's address came so many wrong tokens, API keys or signatures that no further one is checked in this window. Callers that were known before go on. Try again after the time given, with a valid one.",
  },
  TOO_MANY_WAITS: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Too many queries of the caller, or of all callers, wait for their consistency tokens. Try again with the same token.',
  },
  TOO_MANY_HEAVY_CALLS: {
    code: 'RESOURCE_EXHAUSTED',
    meaning:
      'Too many heavy calls, such as searches and sums, of the caller, or of all callers, wait for their turn. Try again after the time given.',
  },
  DEPENDENCY_UNAVAILABLE: {
    code: 'UNAVAILABLE',
    meaning: 'Something that the call needs is unreachable; `metadata.dependency` names it. Try again.',
  },
  DEADLINE_EXCEEDED: {
    code: 'DEADLINE_EXCEEDED',
    meaning: 'There was no answer in time. A command may still take effect: repeat it with the same request_id.',
  },
  CALL_CANCELLED: { code: 'CANCELLED', meaning: 'The caller disconnected, or cancelled the call, before the answer.' },
  UNIMPLEMENTED: { code: 'UNIMPLEMENTED', meaning: 'The server does not serve the method.' },
  INTERNAL: {
    code: 'INTERNAL',
    meaning: "A fault on Caudal's side. The log has it under the request id that the answer carries.",
  },
} satisfies Record<string, Reason>;
