/** Takes traces in: caudal.tracking.v1.TrackingService. */
import {
  Trace,
  TraceOutcome,
  type TraceResult,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { service } from '@caudal/rpc/types.ts';
import { refusalOf } from '../domain/acceptance.ts';
import { traceId } from '../domain/trace.ts';
import { traces as counted, lateness } from '../metrics.ts';
import type { TraceQueue } from '../queue/types.ts';
import { traceOf } from '../trace-message.ts';

const { TRACE_OUTCOME_ACCEPTED, TRACE_OUTCOME_DUPLICATE, TRACE_OUTCOME_REFUSED } = TraceOutcome;

export function trackingService({ queue, clock }: { queue: Pick<TraceQueue, 'put'>; clock: Clock }) {
  return service(TrackingServiceService, {
    async recordTraces({ traces }) {
      const now = clock();
      const known = new Set<string>();
      const bodies: Uint8Array[] = [];
      const results: TraceResult[] = [];
      for (const message of traces) {
        const refusal = refusalOf({ happenedAt: message.happenTime }, now);
        if (refusal) {
          results.push({ outcome: TRACE_OUTCOME_REFUSED, ...refusal });
          continue;
        }
        const id = traceId(traceOf(message)).toString('hex');
        const outcome = known.has(id) ? TRACE_OUTCOME_DUPLICATE : TRACE_OUTCOME_ACCEPTED;
        results.push({ outcome, reason: '', message: '' });
        if (known.has(id)) continue;
        known.add(id);
        bodies.push(Trace.encode({ ...message, receiveTime: now }).finish());
        lateness.record(Math.max(0, now.getTime() - message.happenTime!.getTime()) / 1_000);
      }
      if (bodies.length > 0) await put(bodies);
      const refused = results.filter(({ outcome }) => outcome === TRACE_OUTCOME_REFUSED).length;
      if (refused > 0) counted.add(refused, { outcome: 'refused' });
      return { results, accepted: bodies.length };
    },
  });

  async function put(bodies: Uint8Array[]): Promise<void> {
    try {
      await queue.put(bodies);
    } catch (error) {
      counted.add(bodies.length, { outcome: 'full' });
      throw error;
    }
    counted.add(bodies.length, { outcome: 'accepted' });
  }
}
