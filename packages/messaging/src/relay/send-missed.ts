/** Sends a queue, directly and in the log's order, the events that it has missed. */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { toMessages } from '../rabbitmq/envelope.ts';
import { openPublisher } from '../rabbitmq/publisher.ts';
import { matches } from '../rabbitmq/routing.ts';
import { slotKeyOf } from '../rabbitmq/slots.ts';
import type { Sealer } from '../seals/sealer.ts';

const pageSize = 500;

/** Whether one of the binding keys takes the event, by its type or by its slot. */
export function isFor(keys: string[], event: RecordedEvent): boolean {
  const slot = slotKeyOf(event);
  return keys.some((key) => matches(key, event.type) || matches(key, slot));
}

export interface MissedOptions {
  broker: Broker;
  log: LogReader;
  sealer: Sealer | undefined;
  /** The queue's full name. */
  queue: string;
  keys: string[];
  /** The events after this position, up to `end`. */
  after: number;
  end: number;
  /** Called when all up to a position is confirmed. */
  onProgress(position: number): Promise<void>;
  signal: AbortSignal;
}

/**
 * Sends the events of a range, each with confirm. Returns the position that was reached; it is less than `end` if the
 * queue does not take them, or the signal has fired. Errors: the log's, and UNAVAILABLE.
 */
export async function sendMissed(options: MissedOptions): Promise<number> {
  const { broker, log, sealer, queue, keys, end, onProgress, signal } = options;
  const publisher = openPublisher({ broker, purpose: 'catch-up', prepare: async () => {} });
  // A broker that is blocked lets a batch wait without end.
  const give = () => void publisher.close();
  signal.addEventListener('abort', give, { once: true });
  let position = options.after;
  try {
    while (position < end && !signal.aborted) {
      const { events } = await log.readLog(position, { limit: pageSize });
      const page = events.filter((event) => event.position <= end);
      if (page.length === 0) break;
      const own = page.filter((event) => isFor(keys, event));
      const messages = toMessages(own, { queue }, sealer);
      const { returned, refused, unanswered } = await publisher.publish(messages);
      if (returned.size + refused.size + unanswered.size > 0) break;
      position = page.at(-1)!.position;
      await onProgress(position);
    }
    return position;
  } finally {
    signal.removeEventListener('abort', give);
    await publisher.close();
  }
}
