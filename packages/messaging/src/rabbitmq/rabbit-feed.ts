/**
 * A handler's events from its queues: those of the parts that are this process's, and queues that it had before. What
 * arrives while a batch is in flight is the next batch. See README, Batches of a queue, and docs/parts.md.
 */
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Members } from '../members/members.ts';
import { openPartShares, soleShares } from '../members/part-shares.ts';
import type { Flaw, SealCheck } from '../seals/seal-check.ts';
import type { ReadUnsealed } from '../seals/unsealed.ts';
import { Stopped } from '../subscription/patience.ts';
import type { Feed } from '../types.ts';
import type { Broker } from './connection.ts';
import { fromMessage, sealIn } from './envelope.ts';
import { careForFormer, type FormerOptions } from './former-queues.ts';
import { type Delivery, openInbox } from './inbox.ts';
import { openPartConsumers, prefetchOfPart } from './part-consumers.ts';
import { type Registries, registerParts } from './register.ts';
import { partsOf, slotCount, slotsOf } from './slots.ts';
import { inspectQueue, partQueueName, type QueuedHandler } from './topology.ts';

export interface RabbitFeedOptions {
  broker: Broker;
  handler: QueuedHandler;
  registries: Registries;
  /** The processes of the handler's context. Absent: no other process runs the handler, so all parts are this one's. */
  members?: Members;
  /**
   * Messages that the broker hands out before it waits for acknowledgements, of all parts; 512 if absent. A batch is
   * half at most.
   */
  prefetch?: number;
  /**
   * Which messages are believed, and what is read from the logs because of others: docs/message-seals.md. Absent: all are believed,
   * which is for a broker that nobody else can reach.
   */
  seals?: { check: SealCheck; readUnsealed: ReadUnsealed } | undefined;
  /** How former queues are looked after. */
  former?: FormerOptions;
}

const log = logger('rabbit-feed');
const ignored = counter('messages_ignored_total', 'Messages that are no event, or none that the handler follows');
const notSealed = counter(
  'messages_not_sealed_total',
  'Messages that were not believed, by reason: none, unreadable, unknown_key, wrong. The log was read instead',
);

/** Pauses between two registrations, while one fails or a queue is set aside. */
const registerPause = { firstMs: 1_000, maxMs: 30_000 };
/** Between two registrations: processes of another version may have bound other slots. */
const registerEveryMs = 60_000;
/** Between two looks for a connection to the broker, if there is none. */
const cutOffMs = 2_000;
/** How long all slots are read from the log after a relay of 0.2 has begun to publish. */
const unslottedMs = 5_000;

/** The feed of a handler from RabbitMQ. Declares, registers and binds its queues. */
export function rabbitFeed(options: RabbitFeedOptions): Feed {
  const { broker, handler, registries, members, prefetch = 512, seals, former } = options;
  const parts = partsOf(handler);
  const maxBatch = Math.ceil(prefetch / 2);
  const followed = new Set(handler.entities);
  let unserved: () => number[] = () => [];
  const registered = Promise.withResolvers<void>();

  /**
   * The events of a batch; for those that are not sealed, what the log has in their places. Other messages are dropped; if one was a
   * damaged event, reconciliation finds the event.
   */
  const eventsOf = async (batch: Delivery[], signal: AbortSignal): Promise<RecordedEvent[]> => {
    const received = batch.flatMap(({ message }) => {
      const event = fromMessage(message);
      return event && followed.has(entityOfStream(event.stream)) ? { event, seal: sealIn(message) } : [];
    });
    const others = batch.length - received.length;
    if (others > 0) ignored.add(others, { handler: handler.name });
    if (!seals) return received.map(({ event }) => event);
    const flaws = await seals.check(received);
    const sealed = received.filter((_, index) => !flaws[index]).map(({ event }) => event);
    if (sealed.length === received.length) return sealed;
    for (const [reason, those] of Map.groupBy(
      flaws.filter((flaw): flaw is Flaw => flaw !== undefined),
      (flaw) => flaw,
    ))
      notSealed.add(those.length, { handler: handler.name, reason });
    const places = received.filter((_, index) => flaws[index]).map(({ event }) => event);
    const read = await seals.readUnsealed(places, signal);
    // What was not looked for must not be acknowledged.
    if (signal.aborted) throw new Stopped();
    return [...sealed, ...read.filter(({ stream }) => followed.has(entityOfStream(stream)))];
  };

  async function settleBatch(
    batch: Delivery[],
    deliver: (events: RecordedEvent[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const last = new Map(batch.map(({ session, message }) => [session, message]));
    try {
      const events = await eventsOf(batch, signal);
      if (events.length > 0) await deliver(events);
      // Acknowledges everything up to it: of a session, batches are handled one at a time, in the order of delivery.
      for (const [session, message] of last) if (session.isOpen()) session.channel.ack(message, true);
    } catch (error) {
      if (!signal.aborted) log.warn({ handler: handler.name, err: error }, 'a batch is delivered again');
      for (const session of last.keys()) session.end('failed');
    }
  }

  return {
    ready: registered.promise,
    unserved: () => unserved(),
    async backlog() {
      const late: number[] = [];
      for (let part = 0; part < parts; part++) {
        const state = await inspectQueue(broker, partQueueName(handler.name, part, broker.prefix));
        if (state && state.messages > 2 * prefetchOfPart(prefetch, parts)) late.push(...slotsOf(part, parts));
      }
      return late;
    },
    async run(deliver, signal) {
      const shares = members ? openPartShares({ members, handler: handler.name, parts }) : soleShares(parts);
      const inbox = openInbox();
      let wake = new AbortController();
      const connection = broker.consumeConnection(handler.name);
      const consumers = openPartConsumers({
        ...{ broker, connection, parts, prefetch, shares, inbox },
        handler: handler.name,
        onReopened: () => wake.abort(),
      });
      let readAllUntil = 0;
      unserved = () =>
        performance.now() < readAllUntil
          ? Array.from({ length: slotCount }, (_, slot) => slot)
          : consumers.orphanedSlots();

      /** Bindings of before are there meanwhile, and what a new queue misses is read from the log. */
      const keepRegistered = async (): Promise<void> => {
        for (let attempt = 1; !signal.aborted; ) {
          let done = false;
          try {
            const mayRelease = shares.role(0) === 'first' && !shares.isMixed();
            done = (await registerParts({ broker, handler, registries }, { mayRelease })).bound;
            // Also if a queue is set aside: it has been there before, and the relay binds it again.
            registered.resolve();
          } catch (error) {
            if (signal.aborted) return;
            log.warn({ handler: handler.name, err: error, attempt }, 'the queues could not be registered and bound');
          }
          attempt = done ? 1 : attempt + 1;
          const pauseMs = done ? registerEveryMs * (0.75 + Math.random() / 2) : backoffMs(attempt, registerPause);
          do await sleep(pauseMs, AbortSignal.any([signal, wake.signal]));
          while (done && !signal.aborted && !wake.signal.aborted && shares.role(0) !== 'first');
          wake = new AbortController();
        }
      };

      let cutOff = false;
      /** A process without the broker leaves its share to others, and asks whether it is back. */
      const watchBroker = async (): Promise<void> => {
        while (!signal.aborted) {
          await sleep(cutOffMs, signal);
          if (!cutOff && !consumers.isCutOff()) continue;
          cutOff = await connection.channel(signal).then(
            (channel) => channel.close().then(() => false),
            () => true,
          );
          shares.setAble(!cutOff);
        }
      };
      let wasMixed = shares.isMixed();
      const forgetMixed = shares.onChange(() => {
        // Now slots that have moved may be taken from where they were.
        if (wasMixed && !shares.isMixed() && shares.role(0) === 'first') wake.abort();
        wasMixed = shares.isMixed();
      });

      const upkeep = Promise.all([
        keepRegistered(),
        watchBroker(),
        careForFormer({
          ...{ broker, connection, handler, registries, prefetch, shares, inbox, signal, ...former },
          onUnslotted() {
            readAllUntil = performance.now() + unslottedMs;
          },
        }),
      ]);
      while (!signal.aborted) {
        const batch = await inbox.take(() => maxBatch, signal);
        if (batch.length > 0) await inbox.during(batch, settleBatch(batch, deliver, signal));
      }
      registered.resolve();
      forgetMixed();
      shares.leave();
      unserved = () => [];
      await Promise.all([consumers.stop(), upkeep]);
      await connection.close();
    },
  };
}
