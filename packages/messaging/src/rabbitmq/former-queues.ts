/**
 * Queues that a handler had before: the whole queue of version 0.2, and parts beyond its number of parts. The process that
 * is first of part 0 consumes them, and deletes them when nothing needs them. See docs/parts.md, Coming from one queue.
 */
import { sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { PartShares } from '../members/part-shares.ts';
import type { ChannelConnection } from './connection.ts';
import type { Inbox } from './inbox.ts';
import { consumeQueue, type QueueConsumer } from './queue-consumer.ts';
import { areSlotted, type Registration, registerWhole, releaseQueue } from './register.ts';
import { partsOf, slotCount } from './slots.ts';
import { deleteIfEmpty, inspectQueue, partKeys, partName, queueName, wholeKey } from './topology.ts';

export interface FormerOptions {
  /** Between two looks, in milliseconds; 10,000 if absent. */
  everyMs?: number;
  /** How long all logs must have sent slots before the whole queue goes; 60,000 if absent. */
  steadyMs?: number;
}

const secondLookMs = 1_000;
/** Asking for a queue that is not there costs a channel. */
const missingMs = 600_000;
const log = logger('rabbit-feed');

/** Cares for the former queues until the signal fires. Never throws. */
export async function careForFormer(
  options: Registration &
    FormerOptions & {
      connection: ChannelConnection;
      prefetch: number;
      shares: PartShares;
      inbox: Inbox;
      /** Called when a log sends no slots and the whole queue was not there: events have reached no queue. */
      onUnslotted(): void;
      signal: AbortSignal;
    },
): Promise<void> {
  const { broker, connection, handler, shares, inbox, prefetch, onUnslotted, signal } = options;
  const { everyMs = 10_000, steadyMs = 60_000 } = options;
  const parts = partsOf(handler);
  const consumers = new Map<string, QueueConsumer>();
  const missingUntil = new Map<string, number>();
  /** Unbound at an earlier look. */
  const unbound = new Set<string>();
  let slottedSince: number | undefined;

  function consume(follower: string): void {
    if (consumers.has(follower)) return;
    const queue = queueName(follower, broker.prefix);
    // It is not declared: one that is deleted meanwhile stays away.
    const declare = async () => {};
    consumers.set(follower, consumeQueue({ connection, queue, declare, prefetch, inbox }));
  }

  const isThere = async (follower: string) =>
    (await inspectQueue(broker, queueName(follower, broker.prefix))) !== undefined;

  async function stop(follower: string): Promise<void> {
    await consumers.get(follower)?.stop();
    consumers.delete(follower);
  }

  /** Whether all logs send slots, or did a moment ago: a relay that has just begun may not have said so yet. */
  async function slotted(): Promise<boolean> {
    if (await areSlotted(options)) return true;
    await sleep(secondLookMs, signal);
    return areSlotted(options);
  }

  /** Whether one of them is there. What was missing a while ago is not asked for. */
  async function isFound(follower: string): Promise<boolean> {
    if ((missingUntil.get(follower) ?? 0) > performance.now()) return false;
    if (await isThere(follower)) return true;
    missingUntil.set(follower, performance.now() + missingMs);
    await stop(follower);
    return false;
  }

  /** Consumes one that is there, and unbinds and deletes it if it may. Returns whether it is gone. */
  async function tend(
    follower: string,
    keysOf: (entities: string[]) => string[],
    may: { unbind: boolean; delete: boolean },
  ): Promise<boolean> {
    const queue = queueName(follower, broker.prefix);
    const own = consumers.get(follower)?.isSubscribed() ? 1 : 0;
    const state = await inspectQueue(broker, queue);
    if (!state) return true;
    consume(follower);
    if (!may.unbind || state.consumers > own) return false;
    await releaseQueue(options, follower, keysOf);
    // The relay may just have bound it again, from a row that it had read before: the next look unbinds it then.
    const isUnbound = unbound.has(follower);
    unbound.add(follower);
    if (!may.delete || state.messages > 0 || !isUnbound) return false;
    await stop(follower);
    await deleteIfEmpty(broker, queue);
    log.info({ handler: handler.name, queue }, 'a queue that is no longer needed is removed');
    return !(await isThere(follower));
  }

  async function look(): Promise<void> {
    if (!(await slotted())) {
      // If it was not there, or not bound, nothing has brought what was published since.
      const isBound = !unbound.has(handler.name) && (consumers.has(handler.name) || (await isThere(handler.name)));
      slottedSince = undefined;
      unbound.clear();
      await registerWhole(options);
      missingUntil.delete(handler.name);
      consume(handler.name);
      if (isBound) return;
      log.warn({ handler: handler.name }, 'a relay of version 0.2 publishes: the whole queue is used');
      onUnslotted();
      return;
    }
    slottedSince ??= performance.now();
    // A process that divides the handler into more parts makes them at any time.
    if (shares.isMixed()) missingUntil.clear();
    const isSteady = performance.now() - slottedSince >= steadyMs;
    if (await isFound(handler.name))
      await tend(handler.name, (entities) => entities.map(wholeKey), { unbind: isSteady, delete: isSteady });

    const surplus: number[] = [];
    for (let part = parts; part < slotCount && (await isFound(partName(handler.name, part))); part++)
      surplus.push(part);
    const mayGo = isSteady && !shares.isMixed();
    // From the last one on, so that what is left can be found from the first one on.
    let areGone = mayGo;
    for (const part of surplus.reverse()) {
      const may = { unbind: mayGo, delete: areGone };
      areGone = (await tend(partName(handler.name, part), (entities) => partKeys(entities, 0, 1), may)) && areGone;
    }
  }

  let wake = new AbortController();
  const unsubscribe = shares.onChange(() => {
    if (!isFirst && shares.role(0) === 'first') wake.abort();
  });
  let isFirst = false;
  while (!signal.aborted) {
    isFirst = shares.role(0) === 'first';
    if (isFirst)
      await look().catch((error: unknown) => {
        if (!signal.aborted) log.warn({ handler: handler.name, err: error }, 'former queues could not be looked at');
      });
    else {
      slottedSince = undefined;
      await Promise.all([...consumers.keys()].map(stop));
    }
    await sleep(everyMs, AbortSignal.any([signal, wake.signal]));
    if (wake.signal.aborted) wake = new AbortController();
  }
  unsubscribe();
  await Promise.all([...consumers.keys()].map(stop));
}
