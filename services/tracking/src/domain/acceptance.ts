/** Which traces are taken in. */
import type { Trace } from './trace.ts';

/** Why a trace is not. */
export interface TraceRefusal {
  reason: 'HAPPEN_TIME_MISSING' | 'HAPPENED_IN_FUTURE' | 'HAPPENED_TOO_LONG_AGO';
  message: string;
}

const dayMs = 86_400_000;
/** A clock that is wrong by a zone or two is corrected later; one that is wrong by more says nothing. */
const aheadMs = dayMs;
const agoMs = 10 * 366 * dayMs;

/** Undefined: it is taken in. `happenedAt` is undefined if the trace says no time. */
export function refusalOf(trace: { happenedAt: Trace['happenedAt'] | undefined }, now: Date): TraceRefusal | undefined {
  const at = trace.happenedAt?.getTime();
  if (at === undefined)
    return { reason: 'HAPPEN_TIME_MISSING', message: 'happen_time is missing: say when it happened.' };
  if (at > now.getTime() + aheadMs)
    return { reason: 'HAPPENED_IN_FUTURE', message: 'happen_time is more than a day ahead: check its time zone.' };
  if (at < now.getTime() - agoMs)
    return { reason: 'HAPPENED_TOO_LONG_AGO', message: 'happen_time is more than ten years ago.' };
  return undefined;
}
