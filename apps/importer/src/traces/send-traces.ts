/** Gives traces of a file to a running system. What it does not take of a call is told apart, and the others are sent without it. */
import {
  ParcelStatus,
  type Place,
  Trace,
  TraceOutcome,
  type TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Client } from '@caudal/rpc/types.ts';
import type { SentTrace } from './import-traces.ts';
import type { FileTrace } from './read-trace.ts';

type Tracking = Pick<Client<TrackingServiceService>, 'recordTraces'>;

const statuses = Object.entries(ParcelStatus).flatMap(([name, number]) =>
  typeof number === 'number' && number > 0 ? [[name.replace('PARCEL_STATUS_', ''), number] as const] : [],
);
const statusOf = new Map<string, ParcelStatus>(statuses);
const perDegree = 10_000_000;
/** Of a call. An import that is interrupted waits for those in flight. */
const timeoutMs = 10_000;

/** A trace and its place in what is sent. */
interface Numbered {
  index: number;
  trace: Trace;
}

/** Sends at most 1,000 traces; the answer has their order. Throws CaudalError. */
export async function sendTraces(tracking: Tracking, traces: readonly FileTrace[]): Promise<SentTrace[]> {
  const sent = new Map<number, SentTrace>();
  for (const [index, { status }] of traces.entries())
    if (status !== undefined && !statusOf.has(status))
      sent.set(index, refused(`status: It is none of ${[...statusOf.keys()].join(', ')}.`));
  const send = async (some: Numbered[]): Promise<void> => {
    if (some.length === 0) return;
    try {
      const { results } = await tracking.recordTraces({ traces: some.map(({ trace }) => trace) }, { timeoutMs });
      for (const [n, { index }] of some.entries()) sent.set(index, sentOf(results[n]));
    } catch (error) {
      const wrong = wrongOf(error, some.length);
      if (wrong.size === 0) throw error;
      if (some.length > 1 && error instanceof CaudalError && error.reason === 'MALFORMED_REQUEST') {
        // The trace that is named may only be too much beside the others.
        const half = some.length >> 1;
        await send(some.slice(0, half));
        await send(some.slice(half));
        return;
      }
      // Each round refuses one more at least, so this ends.
      for (const [n, problem] of wrong) sent.set(some[n]!.index, refused(problem));
      await send(some.filter(({ index }) => !sent.has(index)));
    }
  };
  await send(traces.flatMap((trace, index) => (sent.has(index) ? [] : [{ index, trace: messageOf(trace) }])));
  return traces.map((_, index) => sent.get(index)!);
}

const refused = (problem: string): SentTrace => ({ outcome: 'REFUSED', problem });

function sentOf(result: { outcome: TraceOutcome; message: string } | undefined): SentTrace {
  if (result?.outcome === TraceOutcome.TRACE_OUTCOME_ACCEPTED) return { outcome: 'ACCEPTED' };
  if (result?.outcome === TraceOutcome.TRACE_OUTCOME_DUPLICATE) return { outcome: 'DUPLICATE' };
  return refused(result?.message || 'The system did not say what became of it.');
}

/** What the system says of single traces of a call that it has refused as a whole, by their places in it. */
function wrongOf(error: unknown, count: number): Map<number, string> {
  const found = new Map<number, string>();
  if (!(error instanceof CaudalError) || error.code !== 'INVALID_ARGUMENT') return found;
  for (const { field, description } of error.violations) {
    const [, place, of = ''] = /^traces\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
    const n = Number(place);
    if (place !== undefined && n < count && !found.has(n)) found.set(n, `${of}: ${description}`);
  }
  return found;
}

/** Who signed for a parcel is a person's name, and is not sent. */
function messageOf({ carrier, trackingNumber, happenedAt, zone, status, place, eta, ...texts }: FileTrace): Trace {
  const { eventId, subStatus, detail, photoUrl } = texts;
  return Trace.fromPartial({
    ...{ carrier, trackingNumber, zone, happenTime: happenedAt },
    ...(eventId !== undefined && { eventId }),
    ...(status !== undefined && { status: statusOf.get(status)! }),
    ...(subStatus !== undefined && { subStatus }),
    ...(detail !== undefined && { detail }),
    ...(place && { place: placeOf(place) }),
    ...(eta && { eta }),
    ...(photoUrl !== undefined && { photoUrl }),
  });
}

function placeOf({ name = '', country = '', latitude, longitude }: NonNullable<FileTrace['place']>): Place {
  if (latitude === undefined || longitude === undefined) return { name, country, position: undefined };
  const position = { latitudeE7: Math.round(latitude * perDegree), longitudeE7: Math.round(longitude * perDegree) };
  return { name, country, position };
}
