/**
 * RabbitMQ for one process: one connection to publish and one to consume, each opened at its first use and again
 * whenever it is lost. They are two because a broker in need throttles connections that publish, and acknowledgements
 * must get through then.
 *
 * The reconnecting is amqplib's own; what it does not do is bound the wait for a connection.
 */

import { once } from 'node:events';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import { type Channel, type ChannelModel, type ConfirmChannel, connect, IllegalOperationError } from 'amqplib';

export interface BrokerOptions {
  /** `amqp://user:password@host:port/vhost` or `amqps://...`; `?heartbeat=` in seconds, 10 if absent. */
  url: string;
  /** Stands before the name of every exchange and queue: keeps tenants and tests apart. Empty if absent. */
  prefix?: string;
  /** As the broker's list of connections shows it: `projector`. */
  name?: string;
  /** How long a caller waits for a connection; 5,000 ms if absent. */
  connectTimeoutMs?: number;
}

export interface Broker {
  readonly prefix: string;
  /** A channel with confirms on the publishing connection. UNAVAILABLE if there is no connection in time. */
  publishChannel(signal?: AbortSignal): Promise<ConfirmChannel>;
  /** A channel on the consuming connection. UNAVAILABLE if there is no connection in time. */
  consumeChannel(signal?: AbortSignal): Promise<Channel>;
  /** Whether the broker takes no messages for now because it is short of memory or disk. */
  blocked(): boolean;
  /** Closes both connections, within 5 s. May be called twice. */
  close(): Promise<void>;
}

const closeTimeoutMs = 5_000;
const answerTimeoutMs = 10_000;
const log = logger('broker');
const connected = gauge('broker_connected', 'Whether the connection to RabbitMQ is up: 1 or 0', '1');
const blockedGauge = gauge('broker_blocked', 'Whether RabbitMQ takes no messages from this connection: 1 or 0', '1');

/**
 * What the broker answers. UNAVAILABLE if it does not: a queue without a majority of its nodes, say, is declared in vain,
 * while heartbeats go on as if all were well.
 */
export async function answered<T>(call: PromiseLike<T>): Promise<T> {
  const answer = Promise.resolve(call);
  if (await within(answerTimeoutMs, answer)) return answer;
  throw unavailable('RabbitMQ', new Error(`no answer within ${answerTimeoutMs} ms`));
}

/** A connection that comes back. */
interface Connection {
  model(signal?: AbortSignal): Promise<ChannelModel>;
  blocked(): boolean;
  close(): Promise<void>;
}

function openConnection(
  { url, name = 'caudal', connectTimeoutMs = 5_000 }: BrokerOptions,
  purpose: string,
): Connection {
  const address = new URL(url);
  if (!address.searchParams.has('heartbeat')) address.searchParams.set('heartbeat', '10');
  let current: ChannelModel | undefined;
  let blocked = false;
  let closed = false;

  const open = async () => {
    const connection = await connect(address.href, {
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: `${name} ${purpose}` },
      recovery: { initialDelay: 100, maxDelay: 2_000, waitForConnect: false },
    });
    const setBlocked = (value: boolean) => {
      blocked = value;
      blockedGauge.set(value ? 1 : 0, { purpose });
    };
    connection.on('connect', (model: ChannelModel) => {
      current = model;
      connected.set(1, { purpose });
    });
    connection.on('disconnect', (error: Error) => {
      current = undefined;
      setBlocked(false);
      connected.set(0, { purpose });
      log.warn({ purpose, err: error }, 'the connection to RabbitMQ is lost');
    });
    connection.on('connect-failed', (error: Error) => log.warn({ purpose, err: error }, "RabbitMQ can't be reached"));
    connection.on('blocked', (reason: string) => {
      setBlocked(true);
      log.error({ purpose, reason }, 'RabbitMQ takes no messages');
    });
    connection.on('unblocked', () => setBlocked(false));
    // 'disconnect' follows and says the same; but an 'error' that nobody hears ends the process.
    connection.on('error', () => {});
    // Every handler and publisher of the process may wait for it.
    connection.setMaxListeners(0);
    return connection;
  };
  let opening: ReturnType<typeof open> | undefined;

  return {
    async model(signal) {
      if (closed) throw unavailable('RabbitMQ');
      opening ??= open();
      const connection = await opening;
      if (current) return current;
      const limit = AbortSignal.timeout(connectTimeoutMs);
      const [model] = await once(connection, 'connect', {
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      return model;
    },
    blocked: () => blocked,
    async close() {
      if (closed) return;
      closed = true;
      if (opening) await within(closeTimeoutMs, (await opening).close());
    },
  };
}

/** Prepares the two connections; opens none before it is needed, so it never fails. */
export function openBroker(options: BrokerOptions): Broker {
  const publishing = openConnection(options, 'publish');
  const consuming = openConnection(options, 'consume');

  const channelOf = async <C extends Channel>(
    connection: Connection,
    signal: AbortSignal | undefined,
    open: (model: ChannelModel) => Promise<C>,
  ): Promise<C> => {
    try {
      const model = await connection.model(signal);
      const opening = open(model);
      const channel = await answered(opening).catch((error: unknown) => {
        // If it comes after all, nobody uses it.
        opening.then((late) => late.close()).catch(() => {});
        // The connection has ended, and nobody has heard: it can end between amqplib's handshake and the moment its
        // recovery listens. Without this it would stay "connected" for ever.
        if (error instanceof IllegalOperationError) model.emit('close', error);
        throw error;
      });
      // What broke a channel is thrown at whoever uses it; an 'error' that nobody hears ends the process.
      channel.on('error', (error) => log.warn({ err: error }, 'RabbitMQ has closed a channel'));
      return channel;
    } catch (error) {
      throw unavailable('RabbitMQ', error);
    }
  };

  return {
    prefix: options.prefix ?? '',
    publishChannel: (signal) => channelOf(publishing, signal, (model) => model.createConfirmChannel()),
    consumeChannel: (signal) => channelOf(consuming, signal, (model) => model.createChannel()),
    blocked: publishing.blocked,
    async close() {
      await Promise.all([publishing.close(), consuming.close()]);
    },
  };
}
