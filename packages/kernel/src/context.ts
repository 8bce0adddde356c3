/** The caller of a request and its cause, passed from a listener through a command into its events. */

/** The caller of a request, whose token was checked. */
export interface Caller {
  /** The token's subject: a customer's id, or `service:<name>`. */
  subject: string;
  /** What the token allows: `orders.orders.place`; with `:any` for the resources of all owners. */
  permissions: ReadonlySet<string>;
  /** How it was known: by a token of a user or a service, or by an API key. Absent of callers without either. */
  kind?: 'user' | 'service' | 'key';
  /** The token's `jti` or the API key's id, if it has one; never a secret. */
  credential?: string;
  /** When the token of a user was issued, in milliseconds since 1970, if it says so. */
  issuedAt?: number;
  /** The `sub` of the token of a user whom another claim names. */
  tokenSubject?: string;
  /** Who has got the secret of the API key, if that is not its owner. */
  keyMaker?: string;
}

/** Whether the caller is one of Caudal's own services, or may do everything. */
export function isService(caller: Caller): boolean {
  return isNamedService(caller) || caller.permissions.has('*');
}

/** Whether the caller is one of Caudal's own services. */
export function isNamedService({ subject, kind = 'service' }: Caller): boolean {
  return kind === 'service' && subject.startsWith('service:');
}

/** The origin of a command, which its events carry. */
export interface Origin {
  /** The caller's subject. */
  actor: string;
  /** The request or event that caused the command. */
  causationId: string;
  /** The same id for all commands and events that one request led to. */
  correlationId: string;
  /** W3C trace context, or empty. */
  traceparent: string;
}

/** A command's identity: a repeat of the same request gets the first answer. */
export interface CommandId {
  /** derivedId(caller, method, request_id): a UUID. */
  key: string;
  /** contentHash of the request: the same key with another hash is refused. */
  hash: Uint8Array;
  /**
   * When the request id was made, in milliseconds, if it is a UUIDv7. Ids with a time are cheap to remember: those that are
   * new lie together.
   */
  madeAt?: number;
}
