/** How a handler's queue begins to get events: it registers with each log that it follows, and is bound to its exchange. */
import { domainOf } from '@caudal/contract/entity.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { FollowerRegistry } from '../relay/followers.ts';
import { answered } from './connecting.ts';
import type { Broker } from './connection.ts';
import { bindingKey, bindKeys, declareQueue, type QueuedHandler, queueName } from './topology.ts';

/** The registries of the logs, by domain. */
export type Registries = ReadonlyMap<string, FollowerRegistry>;

/** How long a registration with another process may take. */
const followMs = 5_000;

/** The registry of another context's log, as packages/rpc makes the client of its LogService. */
export function remoteRegistry({ domain, client }: { domain: string; client: FollowClient }): FollowerRegistry {
  return {
    async follow(follower) {
      try {
        return await client.follow({ domain, ...follower }, { timeoutMs: followMs });
      } catch (error) {
        // A log of version 0.2 knows no followers, and sets none aside.
        if (isCode(error, 'UNIMPLEMENTED')) return { setAside: false };
        throw error;
      }
    },
  };
}

interface FollowClient {
  follow(
    request: { domain: string; queue: string; keys: string[] },
    options?: { timeoutMs?: number },
  ): Promise<{ setAside: boolean }>;
}

interface Registration {
  broker: Broker;
  handler: QueuedHandler;
  registries: Registries;
}

/**
 * Registers a handler's queue, which exists, with its logs, and binds it where the log has not set it aside: there the
 * relay binds it. Returns whether it is bound everywhere. UNAVAILABLE if a log or the broker can't be reached.
 */
export async function registerAndBind({ broker, handler, registries }: Registration): Promise<boolean> {
  const queue = queueName(handler.name, broker.prefix);
  let everywhere = true;
  for (const [domain, entities] of Map.groupBy(handler.entities, domainOf)) {
    const keys = entities.map(bindingKey);
    const { setAside } = await registryOf(registries, domain).follow({ queue, keys });
    if (setAside) everywhere = false;
    else if ((await bindKeys({ broker, domain, queue, keys })) !== 'done')
      throw unavailable('RabbitMQ', `${queue} can't be bound`);
  }
  return everywhere;
}

/**
 * Creates a handler's queue before its first consumer: events that are published after this wait in it, unless it is set
 * aside. UNAVAILABLE if a log or the broker can't be reached.
 */
export async function bindHandler(registration: Registration): Promise<void> {
  const { broker, handler } = registration;
  const channel = await broker.sharedChannel();
  try {
    await answered(declareQueue(channel, handler.name, broker.prefix));
  } catch (error) {
    throw unavailable('RabbitMQ', error);
  } finally {
    await channel.close().catch(() => {});
  }
  await registerAndBind(registration);
}

function registryOf(registries: Registries, domain: string): FollowerRegistry {
  const registry = registries.get(domain);
  if (!registry) throw new Error(`No registry of ${domain} is given, but the handler follows it: add it.`);
  return registry;
}
