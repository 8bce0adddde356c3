/** Sends events to the webhooks of a tracking system, signed as each carrier does it. */
import { createHmac } from 'node:crypto';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { pushed, pushSize } from './formats.ts';
import { type Carrier, carriers } from './parcels.ts';
import type { Tally } from './report.ts';
import type { Sent } from './sequence.ts';

export interface PushOptions {
  events: Iterable<Sent>;
  tally: Tally;
  /** The webhook of a carrier is `<to>/<carrier>/webhook`. */
  to: string;
  secret: string;
  concurrency: number;
  /** Calls a second; absent: a storm. */
  perSecond?: number;
  signal: AbortSignal;
}

interface Call {
  carrier: Carrier;
  items: Sent[];
}

const timeoutMs = 10_000;
const maxAttempts = 12;
const pauses = { firstMs: 100, maxMs: 10_000 };
const maxRetryAfterMs = 30_000;

/** Sends all of them. What the receiver does not take, after repeats, is counted as failed. */
export async function push({ events, tally, to, secret, concurrency, perSecond, signal }: PushOptions): Promise<void> {
  const startedAt = performance.now();
  let begun = 0;
  await forEachConcurrent(callsOf(events), concurrency, async (call) => {
    if (perSecond) await sleep(startedAt + (begun++ * 1_000) / perSecond - performance.now(), signal);
    if (signal.aborted) return tally.failed(call.items.length);
    const body = JSON.stringify(pushed(call.carrier, call.items));
    const { taken, attempts } = await post(`${to}/${call.carrier}/webhook`, body, call.carrier, secret, signal);
    tally.called(attempts - 1);
    if (!taken) return tally.failed(call.items.length);
    for (const item of call.items) tally.taken(item);
  });
}

/** Events of a carrier that follow each other, as many as it pushes together. */
function* callsOf(events: Iterable<Sent>): Generator<Call> {
  const open = new Map<Carrier, Sent[]>(carriers.map((carrier) => [carrier, []]));
  for (const event of events) {
    const { carrier } = event.parcel;
    const items = open.get(carrier)!;
    items.push(event);
    if (items.length < pushSize[carrier]) continue;
    yield { carrier, items };
    open.set(carrier, []);
  }
  for (const [carrier, items] of open) if (items.length > 0) yield { carrier, items };
}

async function post(
  url: string,
  body: string,
  carrier: Carrier,
  secret: string,
  signal: AbortSignal,
): Promise<{ taken: boolean; attempts: number }> {
  for (let attempts = 1; ; attempts++) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...proof(carrier, body, secret) },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return { taken: true, attempts };
    const mayHelp = !response || response.status === 429 || response.status >= 500;
    if (!mayHelp || attempts === maxAttempts || signal.aborted) return { taken: false, attempts };
    const seconds = Number(response?.headers.get('retry-after') ?? 0);
    await sleep(Math.min(seconds * 1_000, maxRetryAfterMs) || backoffMs(attempts, pauses), signal);
  }
}

/** UPS repeats a credential; the others sign. */
function proof(carrier: Carrier, body: string, secret: string): Record<string, string> {
  if (carrier === 'ups') return { credential: secret };
  const seconds = Math.floor(Date.now() / 1_000);
  const digest = createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex');
  return { 'webhook-signature': `t=${seconds},v1=${digest}` };
}
