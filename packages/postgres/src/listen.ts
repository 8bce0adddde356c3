/**
 * Receives notifications. All channels of a process on one server share a connection, which is opened again whenever it
 * is lost.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { Client } from 'pg';
import { clientConfig } from './connection.ts';
import { sqlState } from './errors.ts';

const log = logger('postgres');
const pauses = { firstMs: 100, maxMs: 5_000 };
/** A standby can't listen, but it may become a primary. So this is the pause between attempts. */
const standbyPauseMs = 60_000;
/** The pause between two probes, which find a connection that was lost without a sign. */
const probeMs = 10_000;

/** Connections that listen, of a process to one server. */
export const listenConnections = 1;

export interface ListenOptions {
  url: string;
  /** At most 63 bytes. */
  channel: string;
  /**
   * Called for each notification, with its payload; and whenever listening begins, without one, since earlier notifications are
   * lost. Must not throw.
   */
  onNotification(payload?: string): void;
}

/** The receivers on one server, and the loop that keeps their connection. */
interface Ear {
  readonly receivers: Set<ListenOptions>;
  /**
   * Sends LISTEN or UNLISTEN, and returns true, if the connection is open. After an error it is opened anew, and listens
   * to what there is then.
   */
  tell(command: 'LISTEN' | 'UNLISTEN', channel: string): Promise<boolean>;
  stop(): Promise<void>;
}

const ears = new Map<string, Ear>();

/** Listens until it is stopped. Notifications may be lost, so their receiver must also poll now and then. */
export function listen(options: ListenOptions): Running {
  const ear = ears.get(options.url) ?? openEar(options.url);
  ears.set(options.url, ear);
  const has = () => [...ear.receivers].some(({ channel }) => channel === options.channel);
  ear.receivers.add(options);
  // Also if the connection listens to the channel already: that is harmless, and its answer tells that listening began.
  void ear.tell('LISTEN', options.channel).then((begun) => {
    if (begun && ear.receivers.has(options)) options.onNotification();
  });
  let stopped: Promise<void> | undefined;

  async function stop(): Promise<void> {
    ear.receivers.delete(options);
    if (ear.receivers.size === 0) {
      if (ears.get(options.url) === ear) ears.delete(options.url);
      await ear.stop();
    } else if (!has()) void ear.tell('UNLISTEN', options.channel);
  }

  return {
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

function openEar(url: string): Ear {
  const ending = new AbortController();
  const receivers = new Set<ListenOptions>();
  /** The connection once it listens to all channels. */
  let listening: Client | undefined;
  /** One command at a time, so that none waits in the client. */
  let told: Promise<boolean> = Promise.resolve(true);

  async function listenOnce(signal: AbortSignal): Promise<void> {
    // NOTIFY and LISTEN know no schemas.
    const client = new Client(clientConfig({ url, schema: 'pg_catalog', applicationName: 'caudal-listen' }));
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    client.on('error', (error) => lost.abort(error));
    client.on('end', () => lost.abort(new Error('The connection has ended')));
    client.on('notification', ({ channel, payload }) => {
      for (const receiver of receivers) if (receiver.channel === channel) receiver.onNotification(payload ?? '');
    });
    // A server that does not answer must not delay the stop: this ends the statement in flight.
    const stop = () => void client.end().catch(() => {});
    signal.addEventListener('abort', stop, { once: true });
    try {
      await client.connect();
      const channels = new Set([...receivers].map(({ channel }) => channel));
      // Receivers that are added from here on send their own LISTEN, which the connection runs after this one.
      listening = client;
      await client.query([...channels].map((channel) => `LISTEN ${client.escapeIdentifier(channel)}`).join(';'));
      for (const receiver of receivers) if (channels.has(receiver.channel)) receiver.onNotification();
      while (!over.aborted) {
        await sleep(probeMs, over);
        if (!over.aborted) await client.query('SELECT 1');
      }
      if (!signal.aborted) throw lost.signal.reason;
    } finally {
      listening = undefined;
      signal.removeEventListener('abort', stop);
      stop();
    }
  }

  async function run(): Promise<void> {
    for (let attempt = 1; !ending.signal.aborted; attempt++) {
      const began = performance.now();
      try {
        await listenOnce(ending.signal);
      } catch (error) {
        if (ending.signal.aborted) break;
        if (performance.now() - began > probeMs) attempt = 1;
        const isStandby = sqlState(error) === '25006';
        if (!isStandby) log.warn({ err: error }, 'the connection that listens is lost; connecting again');
        await sleep(isStandby ? standbyPauseMs : backoffMs(attempt, pauses), ending.signal);
      }
    }
  }

  const done = run();
  return {
    receivers,
    tell(command, channel) {
      const tell = async () => {
        const client = listening;
        if (!client) return false;
        try {
          await client.query(`${command} ${client.escapeIdentifier(channel)}`);
          return true;
        } catch {
          await client.end().catch(() => {});
          return false;
        }
      };
      told = told.then(tell);
      return told;
    },
    stop() {
      ending.abort();
      return done;
    },
  };
}
