/** The relay role: publishes the logs of its contexts to RabbitMQ. Without a broker it does nothing. */

import { vhostOf } from '@caudal/messaging/rabbitmq/connecting.ts';
import { boundQueues } from '@caudal/messaging/rabbitmq/management.ts';
import { startRelay } from '@caudal/messaging/relay/relay.ts';
import type { App } from '../app.ts';

export function startRelays({ locals, stores: { broker }, values, holder, lifecycle }: App): void {
  if (!broker) return;
  const { RABBITMQ_MANAGEMENT_URL: managementUrl, RABBITMQ_URL: url } = values;
  const bound =
    managementUrl && url
      ? (exchange: string) => boundQueues({ managementUrl, vhost: vhostOf(url) }, exchange)
      : undefined;
  for (const { context, log, database } of locals) {
    const relay = startRelay({ log, database, broker, boundQueues: bound, holder });
    lifecycle.onStop(`relay of ${context.name}`, () => relay.stop());
  }
}
