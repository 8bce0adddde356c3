/** Who asks for something, and why: what travels from an edge through a command into its events. */

/** Somebody whose token was checked. */
export interface Caller {
  /** The token's subject: a customer's id, or `service:<name>`. */
  subject: string;
  /** What the token allows: `orders.orders.place`, with `:any` for everybody's resources. */
  permissions: ReadonlySet<string>;
}

/** What the events of a command say about where they come from. */
export interface Origin {
  /** The caller's subject. */
  actor: string;
  /** The request or event that caused the command. */
  causationId: string;
  /** The same for everything that one request led to. */
  correlationId: string;
  /** W3C trace context, or empty. */
  traceparent: string;
}

/** A command's identity: a repeat of the same request is answered with the first result. */
export interface CommandId {
  /** derivedId(caller, method, request_id): a UUID. */
  key: string;
  /** contentHash of the request: the same key with another hash is refused. */
  hash: Uint8Array;
}
