/** Consumes one queue into a feed's inbox, on a channel that is opened again when it breaks. */
import { unavailable } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep, within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Channel } from 'amqplib';
import { answered } from './connecting.ts';
import type { ChannelConnection } from './connection.ts';
import type { Inbox, Session } from './inbox.ts';

export interface QueueConsumer {
  /** Since when it is the active one, by performance.now(): since its first message. */
  activeSince(): number | undefined;
  isSubscribed(): boolean;
  /** Whether its last attempt got no connection. */
  isCutOff(): boolean;
  /** Gives back what it has not begun, and subscribes again, behind others that wait. */
  restart(): void;
  /** Finishes what is in flight, and gives back the rest. */
  stop(): Promise<void>;
}

export interface QueueConsumerOptions {
  connection: ChannelConnection;
  /** Its full name. */
  queue: string;
  declare(channel: Channel): Promise<void>;
  /** Messages that the broker hands out before it waits for acknowledgements. */
  prefetch: number;
  inbox: Inbox;
  /** Called when it has subscribed again after its channel broke. */
  onReopened?(): void;
  /** Called with the first message of a subscription. */
  onActive?(): void;
}

const closeTimeoutMs = 2_000;
const log = logger('rabbit-feed');

interface Subscribed extends Session {
  activeSince: number | undefined;
  ended: Promise<'failed' | 'left'>;
}

/** Starts to consume. Never throws. */
export function consumeQueue(options: QueueConsumerOptions): QueueConsumer {
  const { connection, queue, declare, prefetch, inbox, onReopened, onActive } = options;
  const stopping = new AbortController();
  let current: Subscribed | undefined;
  let cutOff = false;
  let subscribed = false;
  let failures = 0;

  async function subscribe(session: Subscribed): Promise<void> {
    const { channel } = session;
    await answered(declare(channel));
    await answered(channel.prefetch(prefetch));
    await answered(
      channel.consume(queue, (message) => {
        // No message: the broker has cancelled the consumer, because the queue was deleted or moved.
        if (!message) return session.end('failed');
        if (session.activeSince === undefined) {
          session.activeSince = performance.now();
          onActive?.();
        }
        inbox.add({ message, session });
      }),
    );
  }

  const running = (async () => {
    let isReopened = false;
    while (!stopping.signal.aborted) {
      try {
        cutOff = true;
        const session = newSession(await connection.channel(stopping.signal));
        cutOff = false;
        current = session;
        try {
          await subscribe(session);
          subscribed = true;
          if (isReopened) onReopened?.();
          isReopened = false;
          const how = await session.ended;
          if (session.activeSince !== undefined) failures = 0;
          if (how === 'failed') throw unavailable('RabbitMQ');
        } finally {
          subscribed = false;
          current = undefined;
          await inbox.leave(session);
          // Sent after the acknowledgements; returns the other messages to the queue. It may be closed already.
          await within(closeTimeoutMs, session.channel.close()).catch(() => {});
        }
      } catch (error) {
        if (stopping.signal.aborted) return;
        failures += 1;
        isReopened = true;
        log.warn({ queue, err: error, failures }, 'consuming is interrupted');
        // Short, since the wait for a connection is a pause too, and it ends as soon as the broker is back.
        await sleep(backoffMs(failures, { firstMs: 100, maxMs: 1_000 }), stopping.signal);
      }
    }
  })();

  return {
    activeSince: () => current?.activeSince,
    isSubscribed: () => subscribed,
    isCutOff: () => cutOff && failures > 0,
    restart: () => current?.end('left'),
    async stop() {
      stopping.abort();
      current?.end('left');
      await running;
    },
  };
}

function newSession(channel: Channel): Subscribed {
  const { promise, resolve } = Promise.withResolvers<'failed' | 'left'>();
  let open = true;
  channel.on('close', () => {
    open = false;
    resolve('failed');
  });
  return { channel, isOpen: () => open, activeSince: undefined, end: resolve, ended: promise };
}
