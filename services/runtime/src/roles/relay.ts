/** The relay role: carries the logs of its contexts to RabbitMQ. Without a broker there is nothing to carry. */
import { startRelay } from '@caudal/messaging/relay.ts';
import type { Process } from '../process.ts';

export function startRelays({ locals, stores: { broker }, holder, lifecycle }: Process): void {
  if (!broker) return;
  for (const { context, log, database } of locals) {
    const relay = startRelay({ log, database, broker, holder });
    lifecycle.onStop(`relay of ${context.name}`, () => relay.stop());
  }
}
