/**
 * A work queue: each job is done by one of many workers, at least once. What a worker had when it died is given to another one; what
 * fails five times goes to the dead letters. docs/messaging-recipes.md
 */
import type { ChannelModel, ConfirmChannel } from 'amqplib';

const attempts = 5;

/** Creates the queue and that of its dead letters, if they are not there. */
export async function declareWork(connection: ChannelModel, queue: string): Promise<ConfirmChannel> {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(`${queue}.dead`, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-max-length': 10_000 },
  });
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-delivery-limit': attempts,
      'x-max-length': 100_000,
      // A full queue refuses jobs: their senders learn of it, and nothing is lost.
      'x-overflow': 'reject-publish',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': `${queue}.dead`,
      'x-dead-letter-strategy': 'at-least-once',
    },
  });
  return channel;
}

/** Resolves when a majority of the brokers has the job. `id`: workers know by it what they have done already. */
export async function addJob(channel: ConfirmChannel, queue: string, { id, body }: { id: string; body: unknown }) {
  channel.sendToQueue(queue, Buffer.from(JSON.stringify(body)), { persistent: true, messageId: id });
  await channel.waitForConfirms();
}

/** Works until the connection ends, on one job at a time. A job counts as done when `work` resolves. */
export async function startWorker(
  connection: ChannelModel,
  queue: string,
  work: (job: { id: string; body: unknown }) => Promise<void>,
): Promise<void> {
  const channel = await connection.createChannel();
  await channel.prefetch(1);
  await channel.consume(queue, async (message) => {
    if (!message) return;
    try {
      await work({ id: String(message.properties.messageId), body: JSON.parse(message.content.toString()) });
      channel.ack(message);
    } catch {
      channel.nack(message, false, true);
    }
  });
}
