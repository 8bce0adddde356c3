/** What a service's author sees of gRPC and REST: typed handlers, and a call that knows who asks. */
import type { Method } from '@caudal/contract/method.ts';
import type { Caller, CommandId, Origin } from '@caudal/kernel/context.ts';

/** One call of a method, however it came in. */
export interface Call {
  caller: Caller;
  /** `/caudal.orders.v1.OrderService/PlaceOrder` */
  method: string;
  origin: Origin;
  /** Set when the request carries a request_id: what makes the command repeatable. */
  commandId?: CommandId;
  /** When the caller stops waiting. */
  deadline: Date;
  /** Fires at the deadline, or when the caller goes away. */
  signal: AbortSignal;
  /** What the caller has written before and wants to see: stream and version. Empty if it does not care. */
  consistency: { stream: string; version: number }[];
  /** Notes that the answer's effect is at this version of the stream: becomes the answer's consistency token. */
  wrote(stream: string, version: number): void;
  /** Notes that a part of the answer was not read for it, but this long ago: the answer tells the age of its oldest part. */
  remembered(ageMs: number): void;
  /** Checks that the caller may touch what this owner owns; PERMISSION_DENIED if not. */
  authorize(owner: string | undefined): void;
}

/** The handlers of a service: a function a method, named as in the generated definition. */
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

/** Joins a generated definition to handlers of its types. */
export function service<Definition extends object>(definition: Definition, handlers: Handlers<Definition>): Service {
  return { definition, handlers } as unknown as Service;
}

/** What a caller says about a call to another service. */
export interface CallOptions {
  /** How long to wait in all; 5,000 ms if absent, and never longer than `deadline`. */
  timeoutMs?: number;
  deadline?: Date;
  signal?: AbortSignal;
  /** Carries causation, correlation and trace on. */
  origin?: Origin;
  consistency?: { stream: string; version: number }[];
}

/** A service as its callers see it: a function a method. Fails with CaudalError only. */
export type Client<Definition> = {
  [Name in keyof Definition]: Definition[Name] extends {
    requestSerialize: (value: infer Request) => unknown;
    responseSerialize: (value: infer Response) => unknown;
  }
    ? (request: Request, options?: CallOptions) => Promise<Response>
    : never;
};
