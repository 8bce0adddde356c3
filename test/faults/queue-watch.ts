/** The queue of a handler in RabbitMQ, by the management API. */
import { setTimeout as delay } from 'node:timers/promises';
import { queueName } from '@caudal/messaging/rabbitmq/topology.ts';

export interface QueueSample {
  /** In the queue, not delivered. */
  ready: number;
  /** Delivered, and not acknowledged yet. */
  inFlight: number;
}

/** Reads the queue of a handler. The server's figures are at most a second old. Undefined if there is no such queue. */
export async function readQueue(handler: string, namespace: string): Promise<QueueSample | undefined> {
  const url = new URL(process.env.RABBITMQ_MANAGEMENT_URL!);
  const credentials = Buffer.from(`${url.username}:${url.password}`).toString('base64');
  const name = encodeURIComponent(queueName(handler, `${namespace}.`));
  const answer = await fetch(`${url.origin}/api/queues/%2F/${name}`, {
    headers: { authorization: `Basic ${credentials}` },
    signal: AbortSignal.timeout(10_000),
  });
  if (answer.status === 404) return undefined;
  const { messages_ready = 0, messages_unacknowledged = 0 } = (await answer.json()) as Record<string, number>;
  return { ready: messages_ready, inFlight: messages_unacknowledged };
}

/** Reads it again and again until `stop`, which returns the maximum of each figure. */
export function watchQueue(handler: string, namespace: string): { stop(): Promise<QueueSample> } {
  const most: QueueSample = { ready: 0, inFlight: 0 };
  let over = false;
  const watching = (async () => {
    while (!over) {
      const now = await readQueue(handler, namespace);
      if (now)
        Object.assign(most, {
          ready: Math.max(most.ready, now.ready),
          inFlight: Math.max(most.inFlight, now.inFlight),
        });
      await delay(500);
    }
  })();
  watching.catch(() => {});
  return {
    async stop() {
      over = true;
      await watching;
      return most;
    },
  };
}
