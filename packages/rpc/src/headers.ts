/** The headers of a call, by their names in gRPC metadata. REST uses the same, except for the token and the age. */
import { type Context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';

export const headerNames = {
  authorization: 'authorization',
  /** Of the call; not the idempotency key, which is a field of the request. */
  requestId: 'x-request-id',
  causationId: 'caudal-causation-id',
  correlationId: 'caudal-correlation-id',
  consistency: 'caudal-consistency-token',
  age: 'caudal-age',
  /** Over REST only. */
  signature: 'webhook-signature',
} as const;

/** Reads a header; undefined if it is absent. */
export type HeaderReader = (name: string) => string | undefined;

/** An id that came in from outside: short and printable, or ignored. */
export function idHeader(read: HeaderReader, name: string): string | undefined {
  const value = read(name);
  return value && /^[\w.:/-]{1,128}$/.test(value) ? value : undefined;
}

const propagator = new W3CTraceContextPropagator();

/** The trace that a call belongs to (W3C Trace Context); the root if it names none. */
export function extractTrace(read: HeaderReader): Context {
  return propagator.extract(ROOT_CONTEXT, read, {
    get: (from, key) => from(key),
    keys: () => [],
  });
}

/** The trace headers for a call made in this context. */
export function injectTrace(context: Context): Record<string, string> {
  const carrier: Record<string, string> = {};
  propagator.inject(context, carrier, {
    set: (to, key, value) => {
      to[key] = value;
    },
  });
  return carrier;
}

/** The `traceparent` of this context, or empty. */
export function traceparentOf(context: Context): string {
  return trace.getSpanContext(context) ? (injectTrace(context).traceparent ?? '') : '';
}
