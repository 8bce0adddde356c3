/** The metric of events by outcome, for both settlers. */
import { counter } from '@caudal/telemetry/metrics.ts';

export const outcomes = counter('events_handled_total', 'Events by outcome: settled, healed, failed, parked');
