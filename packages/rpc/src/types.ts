/** What a service's author uses of gRPC and REST: typed handlers, and a call with its caller. */
import type { Method } from '@caudal/contract/method.ts';
import type { ReadStrength } from '@caudal/contract/reads.ts';
import type { Caller, CommandId, Origin } from '@caudal/kernel/context.ts';

/** One call of a method, over gRPC, REST or within the process. */
export interface Call {
  caller: Caller;
  /** `/caudal.orders.v1.OrderService/PlaceOrder` */
  method: string;
  origin: Origin;
  /** Set when the request carries a request_id, the idempotency key of a command. */
  commandId?: CommandId;
  /**
   * Whether a command of this call may be done by the process that owns its stream, instead of here: only before the call has
   * written anything. Pass it on for a call's only append, or its first. The command may then reject with ForwardToOwner, which
   * the handler must pass on. See docs/owners.md.
   */
  readonly forwardable?: boolean;
  /** The time at which the caller stops waiting. */
  deadline: Date;
  /** Fires at the deadline, or when the caller disconnects. */
  signal: AbortSignal;
  /** The streams and versions that the caller has written before and wants to see. Empty if it sent no token. */
  consistency: { stream: string; version: number; epoch?: number }[];
  /** How strong the reads of this call are. Absent: AT_LEAST what `consistency` names, or ONE. */
  readStrength?: ReadStrength | undefined;
  /**
   * Records that the stream is at this version after the call. It becomes part of the answer's consistency token. `epoch`: that of
   * the log, if it is not the one that this process knows.
   */
  wrote(stream: string, version: number, epoch?: number): void;
  /** Records that a part of the answer was read this long ago. The answer carries the age of its oldest part. */
  remembered(ageMs: number): void;
  /**
   * Names work that this read has saved, and a read of a resource that does not exist would not have. It is done if the caller then
   * turns out to have no right to the resource, so that the time of the refusal does not tell that there is one.
   */
  balance?(work: () => Promise<unknown>): void;
  /**
   * Checks that the caller may use resources of this owner. Throws PERMISSION_DENIED if not; where the owner is stored in the
   * resource, the caller gets the same answer as for one that does not exist.
   */
  authorize(owner: string | undefined): void;
}

/**
 * The handlers of a service: one function per method, named as in the generated definition. Of a method with streams it is called for each
 * message, several of a stream at once, and what it throws becomes the answer to that message.
 */
export type Handlers<Definition> = {
  [Name in keyof Definition]: Definition[Name] extends {
    requestSerialize: (value: infer Request) => unknown;
    responseSerialize: (value: infer Response) => unknown;
  }
    ? (request: Request, call: Call) => Promise<Response>
    : never;
};

/** A service: its generated definition and its handlers. */
export interface Service {
  definition: Record<string, Method>;
  handlers: Record<string, (request: never, call: Call) => Promise<unknown>>;
}

/** Joins a generated definition and handlers of its types. */
export function service<Definition extends object>(definition: Definition, handlers: Handlers<Definition>): Service {
  return { definition, handlers } as unknown as Service;
}

/** The options of a call to another service. */
export interface CallOptions {
  /** How long to wait in all; 5,000 ms if absent, and never longer than `deadline`. */
  timeoutMs?: number;
  deadline?: Date;
  signal?: AbortSignal;
  /** Passes on causation, correlation and trace. */
  origin?: Origin;
  /** What a query must see; for Caudal's own services, which can seal it. */
  consistency?: { stream: string; version: number }[];
  /** The same as the token of an earlier answer. */
  consistencyToken?: string;
  /** Receives the consistency token of the answer, if it has one. */
  onConsistencyToken?(token: string): void;
  /**
   * The call may be repeated without a request_id, because what the request names is done only once. None is added then,
   * and the server records none.
   */
  idempotent?: boolean;
}

/** A service as its callers use it: one function per method without streams. It fails with CaudalError only. */
export type Client<Definition> = {
  [Name in keyof Definition as Definition[Name] extends { requestStream: true }
    ? never
    : Name]: Definition[Name] extends {
    requestSerialize: (value: infer Request) => unknown;
    responseSerialize: (value: infer Response) => unknown;
  }
    ? (request: Request, options?: CallOptions) => Promise<Response>
    : never;
};
