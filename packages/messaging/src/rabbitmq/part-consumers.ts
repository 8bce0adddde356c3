/** The consumers of a handler's parts in this process, by its shares. See docs/parts.md, Who consumes what. */
import { gauge } from '@caudal/telemetry/metrics.ts';
import type { PartShares } from '../members/part-shares.ts';
import type { Broker, ChannelConnection } from './connection.ts';
import type { Inbox } from './inbox.ts';
import { consumeQueue, type QueueConsumer } from './queue-consumer.ts';
import { slotsOf } from './slots.ts';
import { declarePart, partQueueName } from './topology.ts';

/** How long the process that is first has to subscribe before another one gives way. */
const giveWayMs = 300;
const maxGiveWayMs = 30_000;
/** The least prefetch of a part. */
const leastPrefetch = 32;
const held = gauge('parts_held', 'Of how many parts of a handler this process should be the consumer', '1');
const active = gauge('parts_active', 'How many parts of a handler the broker gives this process messages of', '1');

interface Entry {
  consumer: QueueConsumer;
  role: 'first' | 'second' | undefined;
  changedAt: number;
  /** How often it has given way in this role. */
  gaveWay: number;
}

/**
 * The prefetch of each part. It does not follow the number of parts that a process has: a consumer would have to
 * subscribe anew, and lose its part to the one that waits. So a process that has all parts holds twice its prefetch.
 */
export function prefetchOfPart(prefetch: number, parts: number): number {
  return Math.min(prefetch, Math.max(leastPrefetch, Math.ceil((2 * prefetch) / parts)));
}

export function openPartConsumers(options: {
  broker: Broker;
  /** The handler's own. */
  connection: ChannelConnection;
  handler: string;
  parts: number;
  /** Of the handler in this process. */
  prefetch: number;
  shares: PartShares;
  inbox: Inbox;
  /** Called when a channel that broke is open again. */
  onReopened(): void;
}) {
  const { broker, connection, handler, parts, shares, inbox, onReopened } = options;
  const prefetch = prefetchOfPart(options.prefetch, parts);
  const entries = new Map<number, Entry>();
  const ending = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function open(part: number, role: Entry['role']): void {
    const consumer = consumeQueue({
      connection,
      queue: partQueueName(handler, part, broker.prefix),
      declare: (channel) => declarePart(channel, handler, part, broker.prefix),
      prefetch,
      inbox,
      onReopened,
      onActive: check,
    });
    entries.set(part, { consumer, role, changedAt: performance.now(), gaveWay: 0 });
  }

  function close(part: number, { consumer }: Entry): void {
    entries.delete(part);
    const end = consumer.stop().finally(() => ending.delete(end));
    ending.add(end);
  }

  /** Does what is due for a part. Returns in how many milliseconds something will be. */
  function checkPart(part: number, now: number): number {
    const role = shares.role(part);
    const entry = entries.get(part);
    if (!entry) {
      if (role) open(part, role);
      return Infinity;
    }
    if (entry.role !== role) Object.assign(entry, { role, changedAt: now, gaveWay: 0 });
    const { consumer, changedAt } = entry;
    if (role === 'first') return Infinity;
    if (role === undefined) {
      const left = changedAt + giveWayMs - now;
      if (left <= 0) close(part, entry);
      return left <= 0 ? Infinity : left;
    }
    const since = consumer.activeSince();
    if (since === undefined || !shares.isFirstThere(part)) return Infinity;
    const left = Math.max(since, changedAt) + Math.min(maxGiveWayMs, giveWayMs * 2 ** entry.gaveWay) - now;
    if (left > 0) return left;
    entry.gaveWay += 1;
    consumer.restart();
    return Infinity;
  }

  function check(): void {
    if (stopped) return;
    clearTimeout(timer);
    const now = performance.now();
    let next = Infinity;
    for (let part = 0; part < parts; part++) next = Math.min(next, checkPart(part, now));
    if (next < Infinity) timer = setTimeout(check, Math.ceil(next)).unref();
    held.set(shares.held(), { handler });
    active.set([...entries.values()].filter(isActive).length, { handler });
  }

  const unsubscribe = shares.onChange(check);
  check();

  return {
    /** Slots of frozen processes' parts that would fall to this one, while the broker gives it none of their messages. */
    orphanedSlots: (): number[] =>
      shares
        .orphaned()
        .filter((part) => {
          const entry = entries.get(part);
          return !entry || !isActive(entry);
        })
        .flatMap((part) => slotsOf(part, parts)),
    /** Whether there is no connection to the broker. */
    isCutOff: (): boolean => [...entries.values()].some(({ consumer }) => consumer.isCutOff()),
    /** Finishes what is in flight, and gives back the rest. */
    async stop(): Promise<void> {
      stopped = true;
      unsubscribe();
      clearTimeout(timer);
      for (const [part, entry] of entries) close(part, entry);
      await Promise.all(ending);
      held.set(0, { handler });
      active.set(0, { handler });
    },
  };
}

function isActive({ consumer }: Entry): boolean {
  return consumer.activeSince() !== undefined;
}
