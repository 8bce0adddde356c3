/**
 * Spans, and the W3C trace context that carries them over what OpenTelemetry does not see: events, messages, timers.
 * Where telemetry is not started a span costs next to nothing and has no ids.
 *
 * Names and attributes follow the semantic conventions: rpc spans are named by the method without the leading slash,
 * messaging spans `<operation> <destination>`, database spans `<operation> <target>`.
 */

import { type Code, isCode } from '@caudal/kernel/errors.ts';
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
  /** Traceparents of spans that led to this one without being its parent: those of a batch's messages. */
  links?: string[];
  /** The traceparent of the parent. If absent the active span is the parent; '' begins a new trace. */
  parent?: string;
}

/** What a server answers when the fault is its own: only these make a server's span an error (rpc conventions). */
const serverFaults: Code[] = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL'];

/** The span that a traceparent stands for; undefined if it is empty or malformed. */
export function parseTraceparent(traceparent: string | undefined): SpanContext | undefined {
  const parsed = traceparent ? parseTraceParent(traceparent) : null;
  return parsed && isSpanContextValid(parsed) ? { ...parsed, isRemote: true } : undefined;
}

function noteError(span: Span, error: unknown, kind: SpanOptions['kind']): void {
  const known = isCode(error, ...serverFaults);
  const type = (error as { code?: unknown })?.code ?? (error as Error)?.name ?? typeof error;
  span.setAttribute('error.type', String(type));
  const refusal = (error as Error)?.name === 'CaudalError' && !known;
  if (refusal && kind === 'server') return;
  if (error instanceof Error) span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/**
 * Runs `fn` inside a span, which is the active one for everything that `fn` does and ends with it. An error marks the
 * span and is thrown on; a server's refusals (NOT_FOUND and the like) are no errors of the span.
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
