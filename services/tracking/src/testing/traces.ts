/** Traces of tests. */
import type { Status, Trace } from '../domain/trace.ts';

/** A Tuesday. */
export const start = Date.UTC(2026, 2, 3, 8);
export const hour = 3_600_000;

/** A trace some hours after the start; received a second later, if not said otherwise. */
export function traceAt(hours: number, status?: Status, more: Partial<Trace> = {}): Trace {
  const happenedAt = new Date(start + hours * hour);
  return {
    carrier: 'dhl',
    trackingNumber: '00340434161094042557',
    happenedAt,
    ...(status && { status }),
    receivedAt: new Date(happenedAt.getTime() + 1_000),
    ...more,
  };
}
