/** What the connections to RabbitMQ have in common: their options, and the bound of each wait for an answer. */
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';

export interface BrokerOptions {
  /** `amqp://user:password@host:port/vhost` or `amqps://...`; `?heartbeat=` in seconds, which has precedence. */
  url: string;
  /** Prefix of the name of every exchange and queue, which separates tenants and tests. Empty if absent. */
  prefix?: string;
  /** The name in the broker's list of connections: `projector`. */
  name?: string;
  /** How long a caller waits for a connection; 5,000 ms if absent. */
  connectTimeoutMs?: number;
}

const answerTimeoutMs = 10_000;
export const connected = gauge('broker_connected', 'Whether the connection to RabbitMQ is up: 1 or 0', '1');

/**
 * The broker's answer to a call. UNAVAILABLE if there is none in 10 s: for example, declaring a queue that has lost the
 * majority of its nodes gets no answer, although heartbeats continue.
 */
export async function answered<T>(call: PromiseLike<T>): Promise<T> {
  const answer = Promise.resolve(call);
  if (await within(answerTimeoutMs, answer)) return answer;
  throw unavailable('RabbitMQ', new Error(`no answer within ${answerTimeoutMs} ms`));
}

/** The vhost that a broker's URL names. */
export function vhostOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1)) || '/';
}

/** The address, with a heartbeat unless it names one: a host that vanishes is noticed within two to three of them. */
export function withHeartbeat(url: string, seconds = 10): string {
  const address = new URL(url);
  if (!address.searchParams.has('heartbeat')) address.searchParams.set('heartbeat', String(seconds));
  return address.href;
}
