/** Receives notifications of a channel on a connection of its own, and connects again whenever that is lost. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { Client } from 'pg';
import { type ConnectionOptions, clientConfig } from './connection.ts';
import { sqlState } from './errors.ts';

const log = logger('postgres');
const pauses = { firstMs: 100, maxMs: 5_000 };
/** A standby can't listen, but it may become a primary. So this is the pause between attempts. */
const standbyPauseMs = 60_000;
/** The pause between two probes, which find a connection that was lost without a sign. */
const probeMs = 10_000;

export interface ListenOptions extends ConnectionOptions {
  /** At most 63 bytes. */
  channel: string;
  /**
   * Called for each notification, and whenever listening begins, since earlier notifications are lost. Must not throw.
   */
  onNotification(): void;
}

async function listenOnce(options: ListenOptions, signal: AbortSignal): Promise<void> {
  const client = new Client(clientConfig(options));
  const lost = new AbortController();
  const over = AbortSignal.any([signal, lost.signal]);
  client.on('error', (error) => lost.abort(error));
  client.on('end', () => lost.abort(new Error('The connection has ended')));
  client.on('notification', () => options.onNotification());
  // A server that does not answer must not delay the stop: this ends the statement in flight.
  const stop = () => void client.end().catch(() => {});
  signal.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    await client.query(`LISTEN ${client.escapeIdentifier(options.channel)}`);
    options.onNotification();
    while (!over.aborted) {
      await sleep(probeMs, over);
      if (!over.aborted) await client.query('SELECT 1');
    }
    if (!signal.aborted) throw lost.signal.reason;
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Listens until it is stopped. Notifications may be lost, so their receiver must also poll now and then. */
export function listen(options: ListenOptions): Running {
  const ending = new AbortController();
  const run = async () => {
    for (let attempt = 1; !ending.signal.aborted; attempt++) {
      const began = performance.now();
      try {
        await listenOnce(options, ending.signal);
      } catch (error) {
        if (ending.signal.aborted) break;
        if (performance.now() - began > probeMs) attempt = 1;
        const isStandby = sqlState(error) === '25006';
        if (!isStandby)
          log.warn({ err: error, channel: options.channel }, 'the connection that listens is lost; connecting again');
        await sleep(isStandby ? standbyPauseMs : backoffMs(attempt, pauses), ending.signal);
      }
    }
  };
  const done = run();
  return {
    stop() {
      ending.abort();
      return done;
    },
  };
}
