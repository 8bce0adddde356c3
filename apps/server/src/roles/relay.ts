/** The relay role: publishes the logs of its contexts to RabbitMQ. Without a broker it does nothing. */

import { openRelayShares } from '@caudal/messaging/members/relay-shares.ts';
import { vhostOf } from '@caudal/messaging/rabbitmq/connecting.ts';
import { boundQueues } from '@caudal/messaging/rabbitmq/management.ts';
import { startRelay } from '@caudal/messaging/relay/relay.ts';
import type { App } from '../app.ts';

export function startRelays({ locals, members, stores: { broker }, seals, values, holder, lifecycle }: App): void {
  if (!broker) return;
  const { RABBITMQ_MANAGEMENT_URL: managementUrl, RABBITMQ_URL: url } = values;
  const bound =
    managementUrl && url
      ? (exchange: string) => boundQueues({ managementUrl, vhost: vhostOf(url) }, exchange)
      : undefined;
  const shares = openRelayShares(members);
  for (const { context, log, database } of locals) {
    const turn = shares.turnAt(context.name);
    const relay = startRelay({ log, database, broker, boundQueues: bound, sealer: seals.sealer, turn, holder });
    lifecycle.onStop(`relay of ${context.name}`, () => relay.stop());
  }
  // Registered last, so that the others know before the leases are free.
  lifecycle.onStop('shares of the relays', () => shares.stop());
}
