/**
 * RabbitMQ for one process: a connection to publish and one to consume, since a broker that is short of memory or disk
 * blocks publishing ones and acknowledgements must get through. amqplib reconnects; the wait is bounded here.
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
  /** Prefix of the name of every exchange and queue, which separates tenants and tests. Empty if absent. */
  prefix?: string;
  /** The name in the broker's list of connections: `projector`. */
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
  /** Whether the broker accepts no messages at the moment, because it is short of memory or disk. */
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
 * The broker's answer to a call. UNAVAILABLE if there is none in 10 s: for example, declaring a queue that has lost the
 * majority of its nodes gets no answer, although heartbeats continue.
 */
export async function answered<T>(call: PromiseLike<T>): Promise<T> {
  const answer = Promise.resolve(call);
  if (await within(answerTimeoutMs, answer)) return answer;
  throw unavailable('RabbitMQ', new Error(`no answer within ${answerTimeoutMs} ms`));
}

/** A connection that is opened again when it is lost. */
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
    // 'disconnect' follows and is handled above; but an 'error' without a listener ends the process.
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

/** Prepares the two connections. Each is opened at its first use, so this never fails. */
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
        // If the channel opens later after all, it is not used.
        opening.then((late) => late.close()).catch(() => {});
        // The connection ended between amqplib's handshake and the moment its recovery listens for the end. Without
        // this it would count as connected for ever.
        if (error instanceof IllegalOperationError) model.emit('close', error);
        throw error;
      });
      // Calls on the channel get its error; but an 'error' without a listener ends the process.
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
