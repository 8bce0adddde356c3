/** What carriers push: POST /v1/carriers/{carrier}/webhook. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Trace } from '../domain/trace.ts';
import { acceptable } from './acceptable.ts';
import type { CarrierAdapter, Headers, Refusal } from './port.ts';

const log = logger('carrier-webhook');

/** Resolves when the traces are durable. Throws RESOURCE_EXHAUSTED if there are too many at the moment. */
export type RecordTraces = (traces: readonly Trace[]) => Promise<void>;

export interface CarrierEndpoint {
  adapter: CarrierAdapter;
  /** One, or two while it is replaced. */
  secrets: readonly string[];
}

export interface CarrierWebhookOptions {
  /** By the carrier's name. */
  carriers: ReadonlyMap<string, CarrierEndpoint>;
  record: RecordTraces;
  clock: Clock;
}

export interface CarrierCall {
  /** From the path. */
  carrier: string;
  headers: Headers;
  /** As it was received: the signature is over these bytes. */
  body: Uint8Array;
}

export interface Received {
  accepted: number;
  refused: Refusal[];
}

/** So that the answer stays small. */
const maxRefusals = 100;

/**
 * The handler. It answers after the traces are durable, so that a carrier repeats what was lost; what is repeated changes nothing. A
 * trace that is refused does not hinder the others, and is no error: carriers stop sending after too many of those.
 */
export function carrierWebhook({ carriers, record, clock }: CarrierWebhookOptions) {
  return async function receive({ carrier, headers, body }: CarrierCall): Promise<Received> {
    const endpoint = carriers.get(carrier);
    if (!endpoint) throw new CaudalError('NOT_FOUND', 'CARRIER_UNKNOWN', 'There is no such carrier here.');
    const now = clock();
    endpoint.adapter.verify({ headers, body }, endpoint.secrets, now);
    const read = endpoint.adapter.parse(body, now);
    const unreadable = read.refused.find(({ index }) => index === undefined);
    if (unreadable && read.traces.length === 0) throw unreadableBody(carrier, unreadable);
    const { traces, refused } = acceptable(read, now);
    if (refused.length > 0) log.warn({ carrier, refused: refused.length, first: refused[0] }, 'traces refused');
    if (traces.length > 0) await record(traces);
    return { accepted: traces.length, refused: refused.slice(0, maxRefusals) };
  };
}

function unreadableBody(carrier: string, { field, problem }: Refusal): CaudalError {
  const violations = [{ field: field || 'body', description: problem }];
  return new CaudalError('INVALID_ARGUMENT', 'CARRIER_BODY_UNREADABLE', `This is not ${carrier}'s format. ${problem}`, {
    violations,
  });
}
