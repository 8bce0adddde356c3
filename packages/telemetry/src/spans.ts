/**
 * Spans, and the W3C trace context, which links them across events, messages and timers, where OpenTelemetry can't.
 * Names follow the semantic conventions: for rpc the method without the leading slash, for messaging
 * `<operation> <destination>`, for databases `<operation> <target>`.
 */

import { CaudalError, isServerFault } from '@caudal/kernel/errors.ts';
import {
  type Attributes,
  context,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { parseTraceParent } from '@opentelemetry/core';

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

export interface SpanOptions {
  /** 'internal' if absent. */
  kind?: keyof typeof kinds;
  attributes?: Attributes;
  /** Traceparents of spans that caused this one and are not its parent: those of a batch's messages. */
  links?: string[];
  /** The traceparent of the parent. If absent the active span is the parent; '' begins a new trace. */
  parent?: string;
}

/** The span context of a traceparent; undefined if it is empty or malformed. */
export function parseTraceparent(traceparent: string | undefined): SpanContext | undefined {
  const parsed = traceparent ? parseTraceParent(traceparent) : null;
  return parsed && isSpanContextValid(parsed) ? { ...parsed, isRemote: true } : undefined;
}

function noteError(span: Span, error: unknown, kind: SpanOptions['kind']): void {
  const type = (error as { code?: unknown })?.code ?? (error as Error)?.name ?? typeof error;
  span.setAttribute('error.type', String(type));
  const refusal = error instanceof CaudalError && !isServerFault(error.code);
  if (refusal && kind === 'server') return;
  if (error instanceof Error) span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/**
 * Runs `fn` inside a span, which is active while `fn` runs and ends with it. An error is recorded in the span and
 * thrown on. Refusals of a server (NOT_FOUND and the like) do not make the span an error.
 */
export async function withSpan<T>(
  name: string,
  { kind = 'internal', attributes, links, parent }: SpanOptions,
  fn: (span: Span) => Promise<T> | T,
): Promise<T> {
  const parentSpan = parseTraceparent(parent);
  const outer = context.active();
  const span = trace.getTracer('caudal').startSpan(
    name,
    {
      kind: kinds[kind],
      attributes,
      root: parent !== undefined && !parentSpan,
      links: links?.flatMap((link) => parseTraceparent(link) ?? []).map((linked) => ({ context: linked })),
    },
    parentSpan ? trace.setSpanContext(outer, parentSpan) : outer,
  );
  try {
    return await context.with(trace.setSpan(outer, span), () => fn(span));
  } catch (error) {
    noteError(span, error, kind);
    throw error;
  } finally {
    span.end();
  }
}
