/** Metrics of the aggregates. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { ForwardToOwner } from '@caudal/kernel/forward.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';

const commands = counter('aggregate_commands_total', 'Commands answered, by entity and outcome');

export const redecisions = counter(
  'aggregate_redecisions_total',
  'Decisions taken again because the state before them did not become durable, by entity',
);

const inFlightGauge = gauge(
  'aggregate_commands_in_flight',
  'Commands of all contexts that wait for their answer',
  '1',
  { formerly: { name: 'aggregate_commands_in_hand' } },
);
let inFlight = 0;

export const commandsInFlight = {
  add(change: 1 | -1): void {
    inFlight += change;
    inFlightGauge.set(inFlight);
  },
};

export const cacheRequests = counter(
  'aggregate_cache_requests_total',
  'Streams asked of the cache, by entity and result: hit or miss',
);

export const loadedEvents = counter('aggregate_loaded_events_total', 'Events read to load states, by entity');

export const ownerClaims = counter(
  'aggregate_owner_claims_total',
  'Claims of contended streams, by result: owned, or other if another process owns the stream',
);

const ownedGauge = gauge('aggregate_owned_streams', 'Contended streams of all contexts that this process owns', '1');
let ownedCount = 0;

export const ownedStreams = {
  add(change: 1 | -1): void {
    ownedCount += change;
    ownedGauge.set(ownedCount);
  },
};

/** `done`, `repeated`, `forwarded` to the stream's owner, or the code of the error: `failed_precondition`. */
export function countCommand(entity: string, outcome: 'done' | 'repeated' | { error: unknown }): void {
  const error = typeof outcome === 'string' ? undefined : outcome.error;
  const code = error instanceof CaudalError ? error.code : error instanceof ForwardToOwner ? 'FORWARDED' : 'INTERNAL';
  commands.add(1, { entity, outcome: typeof outcome === 'string' ? outcome : code.toLowerCase() });
}
