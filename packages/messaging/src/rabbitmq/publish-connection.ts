/**
 * A connection for one publisher, with one channel with confirms. It is not opened again when it breaks: its owner opens
 * the next one, so that a late confirm of the old one is never taken for one of the new.
 */
import type { Socket } from 'node:net';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { answered, type BrokerOptions, withHeartbeat } from './connecting.ts';

export interface PublishConnection {
  readonly channel: ConfirmChannel;
  /** Whether the broker accepts no messages on it at the moment, because it is short of memory or disk. */
  blocked(): boolean;
  /** Ends it, within a second. What is not confirmed by then may be published, or not. Never throws. */
  close(): Promise<void>;
}

/** What a connection tells its owner. */
export interface PublishListener {
  /** The broker takes no messages, or takes them again. */
  onBlocked?(blocked: boolean): void;
  /** It is closed or lost. Called once. */
  onEnd?(): void;
}

/** A broker that stops a connection does not answer its farewell either. */
const farewellMs = 500;
/** The error with which a socket is destroyed: amqplib then clears what belongs to the connection. */
const dropped = new Error('dropped');
const log = logger('broker');

/** Opens it, named after `purpose`. UNAVAILABLE if it is not open in time. */
export async function openPublishConnection(
  { url, name = 'caudal', connectTimeoutMs = 5_000 }: BrokerOptions,
  purpose: string,
  { onBlocked, onEnd }: PublishListener = {},
): Promise<PublishConnection> {
  let blocked = false;
  let ended = false;
  const setBlocked = (value: boolean) => {
    if (blocked === value) return;
    blocked = value;
    onBlocked?.(value);
  };
  const end = () => {
    if (ended) return;
    ended = true;
    setBlocked(false);
    onEnd?.();
  };

  const opening = connect(withHeartbeat(url), {
    noDelay: true,
    keepAlive: true,
    timeout: connectTimeoutMs,
    clientProperties: { connection_name: `${name} ${purpose}` },
  });
  let model: ChannelModel | undefined;
  try {
    // amqplib's own time-out covers the connect alone, not the handshake.
    model = await answered(opening);
    model.on('blocked', (reason: string) => {
      setBlocked(true);
      log.error({ purpose, reason }, 'RabbitMQ takes no messages');
    });
    model.on('unblocked', () => setBlocked(false));
    model.on('close', end);
    // 'close' follows; but an 'error' without a listener ends the process.
    model.on('error', (error: Error) => {
      if (error !== dropped) log.warn({ purpose, err: error }, 'the connection to RabbitMQ is lost');
    });
    const channel = await answered(model.createConfirmChannel());
    // Calls on the channel get its error; but an 'error' without a listener ends the process.
    channel.on('error', (error) => log.warn({ purpose, err: error }, 'RabbitMQ has closed a channel'));
    const opened = model;
    return { channel, blocked: () => blocked, close: () => closeConnection(opened).finally(end) };
  } catch (error) {
    // If it opens later after all, it is not used.
    opening.then(closeConnection).catch(() => {});
    throw unavailable('RabbitMQ', error);
  }
}

async function closeConnection(model: ChannelModel): Promise<void> {
  const farewell = model.close();
  farewell.catch(() => {});
  if (!(await within(farewellMs, farewell).catch(() => true))) socketOf(model).destroy(dropped);
}

/** amqplib has no way to end a connection without the broker's answer. */
function socketOf(model: ChannelModel): Socket {
  return (model as unknown as { connection: { stream: Socket } }).connection.stream;
}
