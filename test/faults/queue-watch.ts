/** The queues of a handler in RabbitMQ, all parts together, by the management API. */
import { setTimeout as delay } from 'node:timers/promises';
import { partQueueName } from '@caudal/messaging/rabbitmq/topology.ts';

export interface QueueSample {
  /** In the queue, not delivered. */
  ready: number;
  /** Delivered, and not acknowledged yet. */
  inFlight: number;
}

/** Reads the queues of a handler. The server's figures are at most a second old. Undefined if there is none. */
export async function readQueue(handler: string, namespace: string): Promise<QueueSample | undefined> {
  const url = new URL(process.env.RABBITMQ_MANAGEMENT_URL!);
  const credentials = Buffer.from(`${url.username}:${url.password}`).toString('base64');
  const stem = partQueueName(handler, 0, `${namespace}.`).slice(0, -1);
  const answer = await fetch(`${url.origin}/api/queues/%2F?name=${encodeURIComponent(stem)}&page=1&page_size=100`, {
    headers: { authorization: `Basic ${credentials}` },
    signal: AbortSignal.timeout(10_000),
  });
  const { items } = (await answer.json()) as { items: (Record<string, number> & { name: string })[] };
  const parts = items.filter(({ name }) => name.startsWith(stem));
  if (parts.length === 0) return undefined;
  const sum = (figure: string) => parts.reduce((total, of) => total + (of[figure] ?? 0), 0);
  return { ready: sum('messages_ready'), inFlight: sum('messages_unacknowledged') };
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
