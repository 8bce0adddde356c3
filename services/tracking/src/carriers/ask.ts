/** One call of a carrier's API, bounded in time and size. Never throws: what goes wrong at a carrier is an answer. */
import { logger } from '@caudal/telemetry/log.ts';
import type { Trace } from '../domain/trace.ts';
import { acceptable } from './acceptable.ts';
import { bodyOf } from './body-of.ts';
import type { Credentials } from './credentials.ts';
import type { CarrierAdapter } from './port.ts';

const log = logger('carrier-poll');

export interface PolledCarrier {
  adapter: CarrierAdapter;
  /** URL, without a slash at its end. */
  base: string;
  credentials: Credentials;
  concurrency: number;
  perSecond: number;
  timeoutMs: number;
}

export type Answer =
  | { kind: 'TRACES'; traces: Trace[] }
  | { kind: 'FAILED' }
  /** The credential is refused: no other call with it would do better. */
  | { kind: 'UNAUTHORIZED' }
  | { kind: 'LIMITED'; retryAfterMs: number };

const defaultRetryMs = 60_000;
const maxRetryMs = 24 * 3_600_000;

/** What the carrier says of the parcel; a parcel that it does not know has no traces. */
export async function ask(
  { adapter, base, credentials, timeoutMs }: PolledCarrier,
  trackingNumber: string,
  now: Date,
  signal: AbortSignal,
): Promise<Answer> {
  if (!adapter.poll) return { kind: 'FAILED' };
  try {
    const credential = await credentials.current(signal);
    const { url, headers } = adapter.poll.request({ base, trackingNumber, credential });
    const response = await fetch(url, {
      headers,
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const { status } = response;
    if (status === 200) {
      const { traces, refused } = acceptable(adapter.parse(await bodyOf(response), now), now);
      if (refused.length > 0)
        log.warn({ carrier: adapter.name, refused: refused.length, first: refused[0] }, 'traces refused');
      // Nothing but what is refused: the carrier is ill, or its format has changed.
      return traces.length === 0 && refused.length > 0 ? { kind: 'FAILED' } : { kind: 'TRACES', traces };
    }
    await response.body?.cancel();
    if (status === 404) return { kind: 'TRACES', traces: [] };
    if (status === 401 || status === 403) {
      credentials.refused(credential);
      return { kind: 'UNAUTHORIZED' };
    }
    if (status === 429) return { kind: 'LIMITED', retryAfterMs: retryAfterOf(response, now) };
    log.warn({ carrier: adapter.name, status }, 'poll failed');
  } catch (error) {
    if (!signal.aborted) log.warn({ carrier: adapter.name, err: error }, 'poll failed');
  }
  return { kind: 'FAILED' };
}

/** In seconds, or as a date (RFC 9110, 10.2.3). */
function retryAfterOf(response: Response, now: Date): number {
  const text = response.headers.get('retry-after') ?? '';
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now.getTime();
  return Number.isNaN(ms) ? defaultRetryMs : Math.min(Math.max(ms, 0), maxRetryMs);
}
