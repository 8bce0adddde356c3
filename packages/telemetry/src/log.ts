/** Structured logs: JSON lines on standard error, with the ids of the trace that they belong to. */
import { trace } from '@opentelemetry/api';
import pino from 'pino';

export type Logger = pino.Logger;

const root = pino(
  {
    level: process.env.LOG_LEVEL ?? 'info',
    base: null,
    mixin() {
      const span = trace.getActiveSpan()?.spanContext();
      return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
    },
  },
  pino.destination(2),
);

/** The logger of one component: `logger('relay')`. */
export function logger(component: string): Logger {
  return root.child({ component });
}
