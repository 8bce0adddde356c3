/**
 * Publishing with confirms, on a connection of its own. The broker confirms a message when all queues that it was routed
 * to have it; it refuses it (nack) if one can't take it; it says nothing while one hangs. See docs/broken-queues.md.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import type { Channel } from 'amqplib';
import { answered, connected } from './connecting.ts';
import type { Broker } from './connection.ts';
import type { OutgoingMessage } from './envelope.ts';
import type { PublishConnection } from './publish-connection.ts';

/** What the broker has said about a batch, by message id. */
export interface Receipt {
  /** Confirmed, but no queue was bound. */
  returned: Set<string>;
  /** Refused: some of its queues may have it. */
  refused: Set<string>;
  /** Not answered in time. Nothing is known of it. */
  unanswered: Set<string>;
}

export interface Publisher {
  /**
   * Sends all messages at once, and waits until each is answered, for 10 s, or until nothing was answered for
   * `patienceMs` (2,000 if absent), not counting the time in which the broker is blocked. Batches may overlap; they are sent in the order of
   * the calls. UNAVAILABLE if the connection is lost: then nothing is known of any of them.
   */
  publish(messages: OutgoingMessage[], options?: { patienceMs?: number }): Promise<Receipt>;
  /** Whether the broker accepts no messages at the moment, because it is short of memory or disk. */
  blocked(): boolean;
  /** Opens the connection if it is not open. UNAVAILABLE if it can't be. */
  connect(): Promise<void>;
  /** Ends the connection; what is in flight counts as unanswered. The next call opens another one. */
  drop(): Promise<void>;
  /** The same for good: later calls are UNAVAILABLE. */
  close(): Promise<void>;
}

const log = logger('publisher');
const closeTimeoutMs = 2_000;
/**
 * How long a batch may take as a whole, not counting the time in which the broker is blocked: a queue that confirms a
 * message now and then would hold up the others.
 */
const batchMs = 10_000;
/** A process that was suspended finds its timers due before it has read the answers that wait in its socket. */
const secondLookMs = 50;
const blockedGauge = gauge('broker_blocked', 'Whether RabbitMQ takes no messages from this connection: 1 or 0', '1');

interface Session {
  send(messages: OutgoingMessage[], patienceMs: number): Promise<Receipt>;
  /** Settles what is in flight as unanswered, and ends the connection. */
  close(): Promise<void>;
}

/** A connection that is being opened, or is open. `ended` fires when it is no longer of use. */
interface Opening {
  ended: AbortController;
  session: Promise<Session>;
}

/** A batch that is in flight. */
interface Flight extends Receipt {
  resolve(): void;
  reject(error: unknown): void;
}

function session(connection: PublishConnection, ended: AbortController): Session {
  const { channel } = connection;
  let closing: Promise<void> | undefined;
  const returned = new Set<string>();
  const flights = new Set<Flight>();
  let answeredAt = performance.now();
  // The broker sends a return before the confirm of the message.
  channel.on('return', (message) => returned.add(String(message.properties.messageId)));
  const lose = () => {
    for (const flight of flights) flight.reject(new Error('the connection is lost'));
  };
  channel.on('close', lose);
  ended.signal.addEventListener('abort', lose);

  const settle = (flight: Flight, id: string, error: Error | null): void => {
    // What is left when the channel closes gets an error too; `lose` has settled it.
    if (!flights.has(flight) || !flight.unanswered.delete(id)) return;
    answeredAt = performance.now();
    if (error) flight.refused.add(id);
    else if (returned.delete(id)) flight.returned.add(id);
    if (flight.unanswered.size === 0) flight.resolve();
  };

  const transmit = (flight: Flight, messages: OutgoingMessage[]): void => {
    for (const { exchange, routingKey, content, options } of messages) {
      try {
        channel.publish(exchange, routingKey, content, options, (error) => settle(flight, options.messageId, error));
      } catch (error) {
        // One that can't be encoded is left out: otherwise it would stop those behind it for ever.
        if (!(error instanceof RangeError)) throw error;
        log.error(
          { err: error, event: options.messageId, type: routingKey },
          'an event is too large to be published: consumers read it from the log',
        );
        settle(flight, options.messageId, null);
      }
    }
  };

  const close = async (): Promise<void> => {
    for (const flight of flights) flight.resolve();
    ended.abort();
    closing ??= connection.close();
    await within(closeTimeoutMs, closing);
  };

  return {
    async send(messages, patienceMs) {
      const { promise: settled, resolve, reject } = Promise.withResolvers<void>();
      const unanswered = new Set(messages.map(({ options }) => options.messageId));
      const flight: Flight = { returned: new Set(), refused: new Set(), unanswered, resolve, reject };
      if (unanswered.size === 0) return flight;
      flights.add(flight);
      answeredAt = performance.now();
      // It is awaited below; until then a failure must not count as an unhandled rejection.
      settled.catch(() => {});
      try {
        transmit(flight, messages);
        let begun = performance.now();
        const left = () => Math.min(answeredAt + patienceMs, begun + batchMs) - performance.now();
        while (!(await within(Math.max(0, left()), settled))) {
          if (connection.blocked()) answeredAt = begun = performance.now();
          // A broker that confirms nothing often does not answer the farewell either: nobody waits for it.
          else if (left() <= 0 && !(await within(secondLookMs, settled)) && left() <= 0) close().catch(() => {});
        }
        return { returned: flight.returned, refused: flight.refused, unanswered: flight.unanswered };
      } finally {
        flights.delete(flight);
      }
    },
    close,
  };
}

/** Publishes on a connection that is opened anew when it breaks. `prepare` declares the exchange or queue on each. */
export function openPublisher(options: {
  broker: Broker;
  /** For the connection's name, and the metrics: `relay orders`. */
  purpose: string;
  /** Whether the metrics show its connection: one that should be open all the time. */
  measured?: boolean;
  prepare(channel: Channel): Promise<void>;
}): Publisher {
  const { broker, purpose, measured = false, prepare } = options;
  const labels = { purpose };
  let current: Opening | undefined;
  let blocked = false;
  let closed = false;
  const setBlocked = (value: boolean) => {
    blocked = value;
    if (measured) blockedGauge.set(value ? 1 : 0, labels);
  };
  const setConnected = (value: boolean) => {
    if (measured) connected.set(value ? 1 : 0, labels);
  };

  async function open(ended: AbortController): Promise<Session> {
    const isCurrent = () => current?.ended === ended;
    const connection = await broker.publishConnection(purpose, {
      onBlocked(value) {
        if (isCurrent()) setBlocked(value);
      },
      onEnd() {
        // The next one may be open already.
        if (isCurrent()) setConnected(false);
        ended.abort();
      },
    });
    try {
      await answered(prepare(connection.channel));
      setConnected(true);
      return session(connection, ended);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  function opened(): Opening {
    if (closed) throw unavailable('RabbitMQ', 'the publisher is closed');
    if (current && !current.ended.signal.aborted) return current;
    const ended = new AbortController();
    setBlocked(false);
    current = { ended, session: open(ended) };
    return current;
  }

  async function withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const opening = opened();
    try {
      return await work(await opening.session);
    } catch (error) {
      // On a new connection, late confirms of this batch can't be taken for those of the next.
      opening.ended.abort();
      opening.session.then((failed) => failed.close()).catch(() => {});
      throw unavailable('RabbitMQ', error);
    }
  }

  return {
    publish: (messages, { patienceMs = 2_000 } = {}) => withSession((open) => open.send(messages, patienceMs)),
    connect: () => withSession(async () => {}),
    blocked: () => blocked,
    drop,
    async close() {
      closed = true;
      // One that is being opened ends by itself.
      await within(closeTimeoutMs, drop());
    },
  };

  async function drop(): Promise<void> {
    const dropped = current;
    current = undefined;
    await dropped?.session.then((open) => open.close()).catch(() => {});
  }
}
