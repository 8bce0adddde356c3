/**
 * RabbitMQ for one process: one connection to consume, which amqplib opens again when it breaks, and one for each
 * publisher. A broker stops a connection whose messages it can't take: acknowledgements must get through, and one
 * publisher must not stop another.
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
  /** A channel on the consuming connection. UNAVAILABLE if there is no connection in time. */
  consumeChannel(signal?: AbortSignal): Promise<Channel>;
  /** Closes all connections, within 5 s. May be called twice. */
  close(): Promise<void>;
}

const closeTimeoutMs = 5_000;
const log = logger('broker');

/** The connection that consumes, opened again when it is lost. */
function openConsuming({ url, name = 'caudal', connectTimeoutMs = 5_000 }: BrokerOptions) {
  const purpose = 'consume';
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
    // Every handler of the process may wait for it.
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
  const consuming = openConsuming(options);
  const publishing = new Set<PublishConnection>();
  let closed = false;

  return {
    prefix: options.prefix ?? '',
    async publishConnection(purpose, listener) {
      if (closed) throw unavailable('RabbitMQ');
      let ended = false;
      let connection: PublishConnection | undefined;
      connection = await openPublishConnection(options, purpose, {
        ...listener,
        // It may end before it is open.
        onEnd() {
          ended = true;
          if (connection) publishing.delete(connection);
          listener?.onEnd?.();
        },
      });
      if (!ended) publishing.add(connection);
      if (closed) await connection.close();
      return connection;
    },
    consumeChannel: consuming.channel,
    async close() {
      closed = true;
      await Promise.all([consuming.close(), ...[...publishing].map((connection) => connection.close())]);
    },
  };
}
