/** The metric (rate, errors, duration), the span and the log line of every call. They never have its content. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import { type CaudalError, isServerFault } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { histogram } from '@caudal/telemetry/metrics.ts';
import { type Context, context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

const log = logger('rpc');
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** A call counts once, in the process that its caller has called. */
const duration = histogram('rpc_server_duration_seconds', 'Calls served, by method and gRPC code', 's', buckets);
const forwardedDuration = histogram(
  'rpc_forwarded_duration_seconds',
  'Calls done for processes that have forwarded them, by method and gRPC code; those processes count them as served',
  's',
  buckets,
);

type Ending = { ok: true } | { ok: false; error: CaudalError };

/**
 * Serves one call within a span that continues `parent`; `serve` gets the context with that span. `forwarded`: another process has
 * forwarded it.
 */
export async function observe<T extends Ending>(
  { path, service, name }: MethodContract,
  { requestId, parent, forwarded }: { requestId: string; parent: Context; forwarded: boolean },
  serve: (trace: Context) => Promise<T>,
): Promise<T> {
  const method = path.slice(1);
  const span = trace.getTracer('caudal').startSpan(
    method,
    {
      kind: SpanKind.SERVER,
      attributes: { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': name },
    },
    parent,
  );
  const started = performance.now();
  return context.with(trace.setSpan(parent, span), async () => {
    const ending = await serve(trace.setSpan(parent, span));
    const seconds = (performance.now() - started) / 1000;
    const code = ending.ok ? 'OK' : ending.error.code;
    (forwarded ? forwardedDuration : duration).record(seconds, { method, code });
    span.setAttribute('rpc.grpc.status_code', code);
    if (!ending.ok) {
      span.setAttribute('caudal.reason', ending.error.reason);
      if (isServerFault(code)) span.setStatus({ code: SpanStatusCode.ERROR, message: ending.error.reason });
    }
    span.end();
    report({ method, code, request_id: requestId, forwarded: forwarded || undefined }, seconds, ending);
    return ending;
  });
}

function report(call: { code: string } & Record<string, unknown>, seconds: number, ending: Ending): void {
  const facts = { ...call, duration_ms: Math.round(seconds * 1e6) / 1e3 };
  if (!ending.ok && call.code === 'INTERNAL') {
    log.warn({ ...facts, err: ending.error.cause ?? ending.error }, 'call failed');
  } else if (log.isLevelEnabled('debug')) {
    log.debug({ ...facts, ...(!ending.ok && { reason: ending.error.reason }) }, 'call');
  }
}
