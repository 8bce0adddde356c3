/**
 * RabbitMQ for one process: one connection for each publisher, one for each queue that is consumed, and one that the rest
 * shares, which amqplib opens again when it breaks. A broker stops a connection whose messages it can't take, and closes
 * one that consumes from a queue without a majority: a broken queue must not end the work on others.
 */

import { once } from 'node:events';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type Channel, type ChannelModel, connect, IllegalOperationError } from 'amqplib';
import { answered, type BrokerOptions, connected, withHeartbeat } from './connecting.ts';
import {
  type ConnectionListener,
  type OwnConnection,
  openConsumeConnection,
  openPublishConnection,
  type PublishConnection,
} from './own-connection.ts';

export interface Broker {
  readonly prefix: string;
  /** Opens a connection to publish, named after `purpose`. UNAVAILABLE if it is not open in time. */
  publishConnection(purpose: string, listener?: ConnectionListener): Promise<PublishConnection>;
  /**
   * Opens a connection to consume one queue, named after `purpose`. UNAVAILABLE if it is not open in time, or before the
   * signal fires.
   */
  consumeConnection(purpose: string, signal: AbortSignal): Promise<OwnConnection<Channel>>;
  /**
   * A channel on the shared connection, for declarations and reads that do not wait for a queue. UNAVAILABLE if there
   * is no connection in time.
   */
  sharedChannel(signal?: AbortSignal): Promise<Channel>;
  /** Closes all connections, within 5 s. May be called twice. */
  close(): Promise<void>;
}

const closeTimeoutMs = 5_000;
/** A handshake and a channel take 20 s at most, each call 10 s. */
const openedMs = 30_000;
const log = logger('broker');

/** The connection that is shared, opened again when it is lost. */
function openShared({ url, name = 'caudal', connectTimeoutMs = 5_000 }: BrokerOptions) {
  const purpose = 'declare';
  let current: ChannelModel | undefined;
  let closed = false;

  const open = async () => {
    const connection = await connect(withHeartbeat(url), {
      noDelay: true,
      keepAlive: true,
      timeout: connectTimeoutMs,
      clientProperties: { connection_name: `${name} ${purpose}` },
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
    // Many may wait for it.
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
        channel.on('error', (error) => log.warn({ err: error }, 'RabbitMQ has closed a channel'));
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
  const shared = openShared(options);
  const own = new Set<OwnConnection<Channel>>();
  let closed = false;

  /** Notes a connection that is opened, until it ends. */
  async function keep<C extends OwnConnection<Channel>>(
    open: (listener: ConnectionListener) => Promise<C>,
    listener: ConnectionListener = {},
  ): Promise<C> {
    if (closed) throw unavailable('RabbitMQ');
    let connection: C | undefined;
    let ended = false;
    connection = await open({
      ...listener,
      onEnd() {
        // It may end while it is opened.
        ended = true;
        if (connection) own.delete(connection);
        listener.onEnd?.();
      },
    });
    if (!ended) own.add(connection);
    if (closed) await connection.close();
    return connection;
  }

  return {
    prefix: options.prefix ?? '',
    publishConnection: (purpose, listener) =>
      keep((noting) => openPublishConnection(options, purpose, noting), listener),
    async consumeConnection(purpose, signal) {
      const opening = keep((noting) => openConsumeConnection(options, `consume ${purpose}`, noting));
      try {
        if (await within(openedMs, opening, signal)) {
          connected.set(1, { purpose: 'consume' });
          return await opening;
        }
      } catch (error) {
        connected.set(0, { purpose: 'consume' });
        throw error;
      }
      // If it opens later after all, it is not used.
      opening.then((late) => late.close()).catch(() => {});
      throw unavailable('RabbitMQ');
    },
    sharedChannel: shared.channel,
    async close() {
      closed = true;
      await Promise.all([shared.close(), ...[...own].map((connection) => connection.close())]);
    },
  };
}
