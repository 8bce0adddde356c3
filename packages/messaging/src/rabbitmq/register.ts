/** How a handler's queues begin to get events: they register with each log that it follows, and are bound to its exchange. */
import { domainOf } from '@caudal/contract/entity.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { FollowerRegistry, Registered } from '../relay/followers.ts';
import type { Broker } from './connection.ts';
import { partsOf } from './slots.ts';
import {
  bindKeys,
  declarePart,
  declareWhole,
  partKeys,
  partName,
  type QueuedHandler,
  queueName,
  unbindKeys,
  wholeKey,
  withChannel,
} from './topology.ts';

/** The registries of the logs, by domain. */
export type Registries = ReadonlyMap<string, FollowerRegistry>;

/** How long a registration with another process may take. */
const followMs = 5_000;

/** The registry of another context's log, as packages/rpc makes the client of its LogService. */
export function remoteRegistry({ domain, client }: { domain: string; client: FollowClient }): FollowerRegistry {
  return {
    async follow({ queue, keys, released = [] }) {
      try {
        return await client.follow({ domain, queue, keys, releasedKeys: released }, { timeoutMs: followMs });
      } catch (error) {
        // A log of version 0.2 knows no followers, and sets none aside.
        if (isCode(error, 'UNIMPLEMENTED')) return { setAside: false, slotted: false, keys: [] };
        throw error;
      }
    },
  };
}

interface FollowClient {
  follow(
    request: { domain: string; queue: string; keys: string[]; releasedKeys: string[] },
    options?: { timeoutMs?: number },
  ): Promise<Registered>;
}

export interface Registration {
  broker: Broker;
  handler: QueuedHandler;
  registries: Registries;
}

/** The keys of a queue of a handler, by the domains that it follows. */
type KeysOf = (entities: string[]) => string[];

/** Calls for each log that a handler follows. */
async function eachLog(
  { handler, registries }: Registration,
  work: (log: { domain: string; entities: string[]; registry: FollowerRegistry }) => Promise<void>,
): Promise<void> {
  for (const [domain, entities] of Map.groupBy(handler.entities, domainOf)) {
    const registry = registries.get(domain);
    if (!registry) throw new Error(`No registry of ${domain} is given, but the handler follows it: add it.`);
    await work({ domain, entities, registry });
  }
}

/** What registering has found: over all logs, whether the queues are bound, and whether slots are sent. */
export interface Standing {
  bound: boolean;
  slotted: boolean;
}

/** Registers a queue, which exists, and binds it where it is not set aside: there the relay binds it. */
async function registerQueue(
  registration: Registration,
  follower: string,
  keysOf: KeysOf,
  onKeys: (keys: string[]) => void = () => {},
): Promise<Standing> {
  const { broker } = registration;
  const queue = queueName(follower, broker.prefix);
  const standing: Standing = { bound: true, slotted: true };
  await eachLog(registration, async ({ domain, entities, registry }) => {
    const keys = keysOf(entities);
    const answer = await registry.follow({ queue, keys });
    standing.slotted &&= answer.slotted;
    onKeys(answer.keys);
    if (answer.setAside) standing.bound = false;
    else if ((await bindKeys({ broker, domain, queue, keys })) !== 'done')
      throw unavailable('RabbitMQ', `${queue} can't be bound`);
  });
  return standing;
}

/** Unbinds keys of a queue, and takes them out of the logs' registries. Without `keysOf`'s keys it is forgotten. */
export async function releaseQueue(registration: Registration, follower: string, keysOf: KeysOf): Promise<void> {
  const { broker } = registration;
  const queue = queueName(follower, broker.prefix);
  await eachLog(registration, async ({ domain, entities, registry }) => {
    const released = keysOf(entities);
    if (released.length === 0) return;
    await unbindKeys({ broker, domain, queue, keys: released });
    await registry.follow({ queue, keys: [], released });
  });
}

/**
 * Creates the queues of all parts, registers and binds each with its slots, and then, if `mayRelease`, takes from each
 * the slots that are no longer its own: in this order, so that no slot is without a queue. UNAVAILABLE if a log or the
 * broker can't be reached.
 */
export async function registerParts(
  registration: Registration,
  { mayRelease }: { mayRelease: boolean },
): Promise<Standing> {
  const { broker, handler } = registration;
  const parts = partsOf(handler);
  await withChannel(broker, async (channel) => {
    for (let part = 0; part < parts; part++) await declarePart(channel, handler.name, part, broker.prefix);
  });
  const standing: Standing = { bound: true, slotted: true };
  const moved: { part: number; keys: Set<string> }[] = [];
  for (let part = 0; part < parts; part++) {
    const own = new Set(partKeys(handler.entities, part, parts));
    const others = new Set<string>();
    const found = await registerQueue(
      registration,
      partName(handler.name, part),
      (entities) => partKeys(entities, part, parts),
      (keys) => {
        for (const key of keys) if (!own.has(key)) others.add(key);
      },
    );
    standing.bound &&= found.bound;
    standing.slotted &&= found.slotted;
    if (others.size > 0) moved.push({ part, keys: others });
  }
  // Keys of entities that the handler no longer follows stay, as bindings of queues always did.
  if (!mayRelease) return standing;
  for (const { part, keys } of moved)
    await releaseQueue(registration, partName(handler.name, part), (entities) =>
      partKeys(entities, 0, 1).filter((key) => keys.has(key)),
    );
  return standing;
}

/** Whether all logs of a handler send slots, by registering its first part again. UNAVAILABLE if one can't be reached. */
export async function areSlotted(registration: Registration): Promise<boolean> {
  const { broker, handler } = registration;
  const queue = queueName(partName(handler.name, 0), broker.prefix);
  let all = true;
  await eachLog(registration, async ({ entities, registry }) => {
    const { slotted } = await registry.follow({ queue, keys: partKeys(entities, 0, partsOf(handler)) });
    all &&= slotted;
  });
  return all;
}

/** Creates, registers and binds the whole queue, as version 0.2 did. Errors: those of `registerParts`. */
export async function registerWhole(registration: Registration): Promise<void> {
  const { broker, handler } = registration;
  await withChannel(broker, (channel) => declareWhole(channel, handler.name, broker.prefix));
  await registerQueue(registration, handler.name, (entities) => entities.map(wholeKey));
}

/**
 * Creates a handler's queues before its first consumer: events that are published after this wait in them, unless they
 * are set aside. UNAVAILABLE if a log or the broker can't be reached.
 */
export async function bindHandler(registration: Registration): Promise<void> {
  const { slotted } = await registerParts(registration, { mayRelease: false });
  if (!slotted) await registerWhole(registration);
}
