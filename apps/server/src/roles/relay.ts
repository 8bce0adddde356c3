/** The relay role: publishes the logs of its contexts to RabbitMQ. Without a broker it does nothing. */
import { startRelay } from '@caudal/messaging/relay.ts';
import type { App } from '../app.ts';

export function startRelays({ locals, stores: { broker }, holder, lifecycle }: App): void {
  if (!broker) return;
  for (const { context, log, database } of locals) {
    const relay = startRelay({ log, database, broker, holder });
    lifecycle.onStop(`relay of ${context.name}`, () => relay.stop());
  }
}
