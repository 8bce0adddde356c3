/** Metrics of forwarded calls. */
import { counter, gauge } from '@caudal/telemetry/metrics.ts';

/**
 * `answered` by the owner; `refused` by it, so decided here; `repeated`, since it was lost or stops; `unknown`, since it was
 * lost and the call has no request id; `cancelled` by the caller.
 */
export type ForwardOutcome = 'answered' | 'refused' | 'repeated' | 'unknown' | 'cancelled';

export const forwardedCalls = counter(
  'rpc_forwarded_calls_total',
  'Calls forwarded to the process that owns their stream, by outcome: answered, refused, repeated, unknown or cancelled',
);

export const forwardedInFlight = gauge(
  'rpc_forwarded_calls_in_flight',
  'Calls being served that other processes have forwarded',
  '1',
);

/** Owners that were sent no call. */
export const unproven = counter(
  'rpc_forward_unproven_owners_total',
  'Connections to owners of streams that have not proven by the key of a service what they are; calls were done without them',
);
