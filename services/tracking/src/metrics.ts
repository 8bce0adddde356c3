/** What tracking measures. */
import { counter, histogram } from '@caudal/telemetry/metrics.ts';

const seconds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];
const long = [60, 600, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400];

export const traces = counter(
  'tracking_traces_total',
  'Traces, by outcome: accepted, refused, full or failed when they arrive; written or duplicate when they are written',
);
export const lateness = histogram(
  'tracking_trace_lateness_seconds',
  'How long after it happened a trace was received',
  's',
  long,
);
export const writeLag = histogram(
  'tracking_write_lag_seconds',
  'From the receipt of the first trace of a batch until it is written',
  's',
  seconds,
);
export const writeSeconds = histogram('tracking_write_seconds', 'Duration of writing a batch', 's', seconds);
export const batchSize = histogram(
  'tracking_write_batch_traces',
  'Traces of a batch that is written',
  '1',
  [1, 10, 50, 100, 250, 500, 1_000, 2_000],
);
export const changesAnnounced = counter(
  'tracking_status_changes_total',
  'Changes of status that became events of the log',
);
export const polls = counter(
  'tracking_carrier_polls_total',
  'Calls that ask carriers for parcels, by carrier and outcome: news, nothing, failed',
);
export const archivedTraces = counter(
  'tracking_archived_traces_total',
  'Traces of months that were moved to the archive',
);
export const archivedBytes = counter('tracking_archived_bytes_total', 'Bytes that these months take in the archive');
