/** More traces than can be written at once, offered at a fixed rate to a real process: what becomes of each. */
import { sleep } from '@caudal/kernel/time.ts';
import { Client } from 'pg';
import { until } from '../../e2e/wait.ts';
import { percentile } from '../figures.ts';
import { openRest } from '../http.ts';
import type { Runtime } from '../runtime.ts';
import { carrier, ofParcel } from './traces.ts';

const ofCall = 100;
const tickMs = 5;
const drainMs = 600_000;

export interface Burst {
  /** Of 202, in milliseconds. */
  p99: number;
  /** Traces: answered with 202, with 429, and with anything else or not at all. */
  accepted: number;
  refused: number;
  unanswered: number;
  /** Accepted traces a second, from the first call until the last one is written. */
  written: number;
  /** Accepted and not written. */
  lost: number;
  /** Written more often than once, or counted so by a parcel. */
  twice: number;
}

/** Offers `count` traces, all different, `perSecond` a second, through REST. */
export async function offerBurst(runtime: Runtime, load: { count: number; perSecond: number; name: string }) {
  const { count, perSecond, name } = load;
  const rest = openRest(runtime.part.rest, runtime.token);
  const client = new Client({ connectionString: runtime.databaseUrl });
  await client.connect();
  const numberOf = async (sql: string, values: unknown[] = []) =>
    Number((await client.query<{ n: string }>(`SELECT (${sql}) AS n`, values)).rows[0]!.n);
  const times: number[] = [];
  const outcome = { accepted: 0, refused: 0, unanswered: 0 };
  const base = Date.now();

  /** A call of traces with these numbers. */
  async function send(from: number): Promise<void> {
    const traces = Array.from({ length: ofCall }, (_, n) => ({
      carrier,
      trackingNumber: `${name}${Math.floor((from + n) / ofParcel)}`,
      happenTime: new Date(base - (from + n)).toISOString(),
      status: 'PARCEL_STATUS_IN_TRANSIT',
      detail: 'Arrived at the sorting centre',
      place: { name: 'Lyon', country: 'FR' },
    }));
    const began = performance.now();
    try {
      await rest.send('POST', '/v1/traces', { traces });
      times.push(performance.now() - began);
      outcome.accepted += ofCall;
    } catch (error) {
      outcome[/: 429 /.test((error as Error).message) ? 'refused' : 'unanswered'] += ofCall;
    }
  }

  try {
    // The code becomes fast, and connections are open.
    for (let n = 0; n < 20; n++) await send(-(n + 1) * ofCall);
    times.length = 0;
    const warm = { ...outcome };
    const calls: Promise<void>[] = [];
    const began = performance.now();
    for (let sent = 0; sent < count; ) {
      const due = Math.min(count, ((performance.now() - began) / 1_000) * perSecond);
      for (; sent < due; sent += ofCall) calls.push(send(sent));
      await sleep(tickMs);
    }
    await Promise.all(calls);
    const waiting = () => numberOf('SELECT coalesce(sum(traces), 0) FROM tracking.trace_inbox');
    await until('an empty inbox', waiting, (traces) => traces === 0, drainMs, 50);
    const seconds = (performance.now() - began) / 1_000;
    const like = [`${name}%`];
    const ofParcels = `FROM tracking.parcels WHERE tracking_number LIKE $1`;
    const stored = await numberOf(
      `SELECT count(*) FROM tracking.traces WHERE parcel IN (SELECT parcel ${ofParcels})`,
      like,
    );
    const counted = await numberOf(`SELECT coalesce(sum(traces), 0) ${ofParcels}`, like);
    const accepted = outcome.accepted - warm.accepted;
    const refused = outcome.refused - warm.refused;
    const unanswered = outcome.unanswered - warm.unanswered;
    if (accepted + refused + unanswered !== count) throw new Error('The answers are not as many as the traces.');
    return {
      ...{ accepted, refused, unanswered },
      p99: percentile(Float64Array.from(times).sort(), 0.99),
      written: accepted / seconds,
      lost: Math.max(0, outcome.accepted - stored),
      // What was not answered may be written, once.
      twice: Math.max(0, stored - outcome.accepted - outcome.unanswered) + Math.abs(counted - stored),
    } satisfies Burst;
  } finally {
    rest.close();
    await client.end();
  }
}
