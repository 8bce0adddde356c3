/** Asks one queue whether it takes messages: an event is sent to it alone, on a connection of its own. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Channel } from 'amqplib';
import type { Broker } from '../rabbitmq/connection.ts';
import { toMessages } from '../rabbitmq/envelope.ts';
import { openPublisher } from '../rabbitmq/publisher.ts';
import type { Sealer } from '../seals/sealer.ts';

/**
 * `missing`: the queue does not exist. The last two say nothing about the queue. `blocked`: the broker takes nothing at
 * the moment, because it is short of memory or disk. `unknown`: there was no connection, or it does not let us.
 */
export type Answer = 'confirmed' | 'refused' | 'silent' | 'missing' | 'blocked' | 'unknown';

/** How long a queue may take to confirm one message, and the whole of a probe but its end. */
const answerMs = 2_000;
const probeMs = 5_000;

interface Probe {
  broker: Broker;
  /** The queue's full name. */
  queue: string;
  event: RecordedEvent;
  sealer: Sealer | undefined;
  signal: AbortSignal;
  prepare?(channel: Channel): Promise<void>;
}

/** Sends the event to the queue. Never throws; ends within 7 s, and soon after `signal` fires. */
export async function probe({
  broker,
  queue,
  event,
  sealer,
  signal,
  prepare = async () => {},
}: Probe): Promise<Answer> {
  const publisher = openPublisher({ broker, purpose: 'probe', prepare });
  let answer: Answer = 'unknown';
  const asking = publisher.publish(toMessages([event], { queue }, sealer), { patienceMs: answerMs }).then(
    ({ returned, refused, unanswered }) => {
      if (returned.size > 0) answer = 'missing';
      else if (refused.size > 0) answer = 'refused';
      else answer = unanswered.size > 0 ? 'silent' : 'confirmed';
    },
    () => {},
  );
  if (!(await within(probeMs, asking, signal)) && publisher.blocked()) answer = 'blocked';
  const found = answer;
  // A connection that hangs takes longer to close, and the answer is known.
  void publisher.close();
  return found;
}

/** A queue that nobody waits for goes after this time; it holds one message. */
const witnessExpiresMs = 600_000;

/**
 * Asks whether the broker confirms anything at all: a queue of the relay's own, made for this, which has as many nodes
 * as any other.
 */
export function probeWitness({ broker, event, signal }: Omit<Probe, 'queue' | 'sealer' | 'prepare'>): Promise<Answer> {
  const queue = `${broker.prefix}caudal.witness`;
  const prepare = async (channel: Channel) => {
    await channel.assertQueue(queue, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-max-length': 1, 'x-expires': witnessExpiresMs },
    });
  };
  // Nothing consumes it.
  return probe({ broker, queue, event, sealer: undefined, signal, prepare });
}
