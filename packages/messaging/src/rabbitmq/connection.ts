/**
 * RabbitMQ for one process: one connection for each publisher, one for each handler that consumes, and one that the rest
 * shares. A broker stops a connection whose messages it can't take, and closes one that consumes from a queue without a
 * majority: a broken queue must not end the work of other handlers.
 */

import { once } from 'node:events';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type Channel, type ChannelModel, connect, IllegalOperationError } from 'amqplib';
import { answered, type BrokerOptions, connected, withHeartbeat } from './connecting.ts';
import { openPublishConnection, type PublishConnection, type PublishListener } from './publish-connection.ts';

export interface Broker {
  readonly prefix: string;
  /** Opens a connection to publish, named after `purpose`. UNAVAILABLE if it is not open in time. */
  publishConnection(purpose: string, listener?: PublishListener): Promise<PublishConnection>;
  /** A connection for a handler that consumes. It connects at first use. */
  consumeConnection(handler: string): ChannelConnection;
  /**
   * A channel on the shared connection, for declarations and reads that do not wait for a queue. UNAVAILABLE if there
   * is no connection in time.
   */
  sharedChannel(signal?: AbortSignal): Promise<Channel>;
  /** Closes all connections, within 5 s. May be called twice. */
  close(): Promise<void>;
}

/** A connection that is opened again when it is lost. */
export interface ChannelConnection {
  /** A channel on it. UNAVAILABLE if there is no connection in time. */
  channel(signal?: AbortSignal): Promise<Channel>;
  /** Within 5 s. May be called twice. */
  close(): Promise<void>;
}

const closeTimeoutMs = 5_000;
/** A process that freezes keeps its parts until the broker misses two heartbeats: docs/parts.md, A frozen process. */
const consumingHeartbeatSeconds = 4;
const log = logger('broker');

interface ChannelConnectionOptions extends BrokerOptions {
  /** For the connection's name. */
  of: string;
  /** For the metrics. */
  purpose: string;
  heartbeatSeconds?: number;
}

/** Prepares a connection that is opened again when it is lost. */
function openChannelConnection(options: ChannelConnectionOptions): ChannelConnection {
  const { url, name = 'caudal', connectTimeoutMs = 5_000, of, purpose, heartbeatSeconds } = options;
  let current: ChannelModel | undefined;
  let closed = false;

  const open = async () => {
    const connection = await connect(withHeartbeat(url, heartbeatSeconds), {
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: `${name} ${of}` },
      recovery: { initialDelay: 100, maxDelay: 2_000, waitForConnect: false },
    });
    connection.on('connect', (model: ChannelModel) => {
      current = model;
      connected.set(1, { purpose });
    });
    connection.on('disconnect', (error: Error) => {
      current = undefined;
      connected.set(0, { purpose });
      log.warn({ purpose, err: error }, 'the connection to RabbitMQ is lost');
    });
    connection.on('connect-failed', (error: Error) => log.warn({ purpose, err: error }, "RabbitMQ can't be reached"));
    // 'disconnect' follows and is handled above; but an 'error' without a listener ends the process.
    connection.on('error', () => {});
    // All parts of a handler, or many handlers, may wait for it.
    connection.setMaxListeners(0);
    return connection;
  };
  let opening: ReturnType<typeof open> | undefined;

  const model = async (signal?: AbortSignal): Promise<ChannelModel> => {
    if (closed) throw unavailable('RabbitMQ');
    opening ??= open();
    const connection = await opening;
    if (current) return current;
    const limit = AbortSignal.timeout(connectTimeoutMs);
    const [next] = await once(connection, 'connect', { signal: signal ? AbortSignal.any([signal, limit]) : limit });
    return next;
  };

  return {
    async channel(signal?: AbortSignal): Promise<Channel> {
      try {
        const connection = await model(signal);
        const opening = connection.createChannel();
        const channel = await answered(opening).catch((error: unknown) => {
          // If the channel opens later after all, it is not used.
          opening.then((late) => late.close()).catch(() => {});
          // The connection ended between amqplib's handshake and the moment its recovery listens for the end. Without
          // this it would count as connected for ever.
          if (error instanceof IllegalOperationError) connection.emit('close', error);
          throw error;
        });
        // Calls on the channel get its error; but an 'error' without a listener ends the process.
        // A queue that is not there is an answer to a question.
        channel.on('error', (error) =>
          log[(error as { code?: unknown }).code === 404 ? 'debug' : 'warn'](
            { err: error },
            'RabbitMQ has closed a channel',
          ),
        );
        return channel;
      } catch (error) {
        throw unavailable('RabbitMQ', error);
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      if (opening) await within(closeTimeoutMs, (await opening).close());
    },
  };
}

/** Prepares the connections. Each is opened at its first use, so this never fails. */
export function openBroker(options: BrokerOptions): Broker {
  const shared = openChannelConnection({ ...options, of: 'declare', purpose: 'declare' });
  const open = new Set<{ close(): Promise<void> }>([shared]);
  let closed = false;

  return {
    prefix: options.prefix ?? '',
    async publishConnection(purpose, listener) {
      if (closed) throw unavailable('RabbitMQ');
      let connection: PublishConnection | undefined;
      let ended = false;
      connection = await openPublishConnection(options, purpose, {
        ...listener,
        onEnd() {
          // It may end while it is opened.
          ended = true;
          if (connection) open.delete(connection);
          listener?.onEnd?.();
        },
      });
      if (!ended) open.add(connection);
      if (closed) await connection.close();
      return connection;
    },
    consumeConnection(handler) {
      const heartbeatSeconds = consumingHeartbeatSeconds;
      const opened = openChannelConnection({
        ...options,
        of: `consume ${handler}`,
        purpose: 'consume',
        heartbeatSeconds,
      });
      const connection = {
        channel: opened.channel,
        async close() {
          open.delete(connection);
          await opened.close();
        },
      };
      open.add(connection);
      return connection;
    },
    sharedChannel: shared.channel,
    async close() {
      closed = true;
      await Promise.all([...open].map((connection) => connection.close()));
    },
  };
}
