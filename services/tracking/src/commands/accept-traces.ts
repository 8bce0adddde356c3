/** Takes traces in, each judged by itself, whichever way they come. */
import { Trace, TraceOutcome, type TraceResult } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { refusalOf } from '../domain/acceptance.ts';
import { traceId } from '../domain/trace.ts';
import { traces as counted, lateness } from '../metrics.ts';
import type { TraceQueue } from '../queue/types.ts';
import { traceOf } from '../trace-message.ts';

const { TRACE_OUTCOME_ACCEPTED, TRACE_OUTCOME_DUPLICATE, TRACE_OUTCOME_REFUSED } = TraceOutcome;

export interface AcceptDependencies {
  queue: Pick<TraceQueue, 'put'>;
  clock: Clock;
}

/**
 * Resolves once those that are accepted are durable, with what has become of each. At most 1,000. Errors: those of `TraceQueue.put`, with
 * which none is accepted.
 */
export async function acceptTraces(
  { queue, clock }: AcceptDependencies,
  traces: readonly Trace[],
): Promise<{ results: TraceResult[]; accepted: number }> {
  const now = clock();
  const known = new Set<string>();
  const bodies: Uint8Array[] = [];
  const results = traces.map((message): TraceResult => {
    const refusal = refusalOf({ happenedAt: message.happenTime }, now);
    if (refusal) return { outcome: TRACE_OUTCOME_REFUSED, ...refusal };
    const id = traceId(traceOf(message));
    if (known.has(id)) return { outcome: TRACE_OUTCOME_DUPLICATE, reason: '', message: '' };
    known.add(id);
    bodies.push(Trace.encode({ ...message, receiveTime: now }).finish());
    lateness.record(Math.max(0, now.getTime() - message.happenTime!.getTime()) / 1_000);
    return { outcome: TRACE_OUTCOME_ACCEPTED, reason: '', message: '' };
  });
  const refused = results.filter(({ outcome }) => outcome === TRACE_OUTCOME_REFUSED).length;
  if (refused > 0) counted.add(refused, { outcome: 'refused' });
  if (bodies.length > 0) await put(queue, bodies);
  return { results, accepted: bodies.length };
}

async function put(queue: AcceptDependencies['queue'], bodies: Uint8Array[]): Promise<void> {
  try {
    await queue.put(bodies);
  } catch (error) {
    counted.add(bodies.length, { outcome: isCode(error, 'RESOURCE_EXHAUSTED') ? 'full' : 'failed' });
    throw error;
  }
  counted.add(bodies.length, { outcome: 'accepted' });
}
