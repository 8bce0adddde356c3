/** A broker for a test: exchanges and queues under a prefix of its own, deleted at the end. */
import { serverUrl } from '@caudal/testing/servers.ts';
import { openBroker } from '../rabbitmq/connection.ts';
import { slotCount } from '../rabbitmq/slots.ts';
import { deadLetterQueueName, exchangeName, partQueueName, queueName } from '../rabbitmq/topology.ts';

/** `url`: through a proxy, say. */
export function testBroker(url = serverUrl('rabbitmq')) {
  const prefix = `test-${process.pid}-${Math.floor(Math.random() * 1e9)}.`;
  const broker = openBroker({ url, prefix, name: 'test', connectTimeoutMs: 2_000 });
  /** Without the proxy, for checks and for cleaning up. */
  const direct = openBroker({ url: serverUrl('rabbitmq'), prefix, name: 'test' });
  const names = { queues: new Set<string>(), exchanges: new Set<string>() };

  return {
    broker,
    prefix,
    /** Names what the test creates, so that it is deleted at the end. */
    owns(handlers: string[], domains: string[]): void {
      for (const handler of handlers) {
        for (let part = 0; part < slotCount; part++) names.queues.add(partQueueName(handler, part, prefix));
        names.queues.add(queueName(handler, prefix));
        names.queues.add(deadLetterQueueName(handler, prefix));
      }
      for (const domain of domains) names.exchanges.add(exchangeName(domain, prefix));
    },
    /** How many messages are ready in a queue, without those that a consumer holds. */
    async ready(queue: string): Promise<number> {
      const channel = await direct.sharedChannel();
      try {
        return (await channel.checkQueue(queue)).messageCount;
      } finally {
        await channel.close();
      }
    },
    direct,
    async close(): Promise<void> {
      await broker.close();
      const channel = await direct.sharedChannel();
      for (const queue of names.queues) await channel.deleteQueue(queue);
      for (const exchange of names.exchanges) await channel.deleteExchange(exchange);
      await direct.close();
    },
  };
}
