/**
 * The headers of a call, by their names in gRPC metadata. REST uses the same names, without `caudal-` for the token, the read
 * strength and the age.
 */
import { type Context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { hasCardNumber } from './schema/card-numbers.ts';

export const headerNames = {
  authorization: 'authorization',
  /** The id of the call. */
  requestId: 'x-request-id',
  /** Of a command: the same as the field request_id. */
  idempotencyKey: 'idempotency-key',
  /** Why the caller does this, for the audit log. */
  auditReason: 'x-audit-reason',
  causationId: 'caudal-causation-id',
  correlationId: 'caudal-correlation-id',
  consistency: 'caudal-consistency-token',
  readStrength: 'caudal-read-strength',
  age: 'caudal-age',
  /** Between processes only: the address that a forwarded call comes from. */
  callerAddress: 'caudal-caller-address',
  /** Over REST only. */
  signature: 'webhook-signature',
} as const;

/** Reads a header; undefined if it is absent. */
export type HeaderReader = (name: string) => string | undefined;

/**
 * An id from outside. It is ignored unless it is short and printable, and has no card number: ids are in events, logs and the audit
 * log.
 */
export function idHeader(read: HeaderReader, name: string): string | undefined {
  const value = read(name);
  return value && /^[\w.:/-]{1,128}$/.test(value) && !hasCardNumber(value) ? value : undefined;
}

/** The IP address of a gRPC peer, `10.0.0.7:4711` or `[::1]:4711`. */
export function addressOf(peer: string): string | undefined {
  return /^\[?([\da-fA-F.:]+?)\]?:\d+$/.exec(peer)?.[1];
}

const propagator = new W3CTraceContextPropagator();

/**
 * The trace that a call belongs to (W3C Trace Context); the root context if the call has none, or one with a card number, which its
 * events and spans would keep.
 */
export function extractTrace(read: HeaderReader): Context {
  return propagator.extract(ROOT_CONTEXT, read, {
    get(from, key) {
      const value = from(key);
      return value !== undefined && hasCardNumber(value) ? undefined : value;
    },
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
