/**
 * Finds the queues for which the broker does not confirm, takes them out of the relay's way, and brings them back. One is
 * opened for each time that a relay leads. See docs/broken-queues.md.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { openBindings } from './bindings.ts';
import { type BoundQueue, clear, forget, selectFollowers, setAside } from './followers.ts';
import { type Answer, probe, probeWitness } from './probe.ts';
import { type Away, openReturns } from './returns.ts';
import { isFor } from './send-missed.ts';

/**
 * `found`: queues were set aside. `nothing`: all confirm. `ill`: none confirms, so it is the broker; or it takes nothing
 * at the moment.
 */
export type Verdict = 'found' | 'nothing' | 'ill';

export interface QuarantineOptions {
  broker: Broker;
  database: Database;
  log: LogReader;
  fence: Fence;
  /** Fires when the lease is lost. */
  signal: AbortSignal;
  /** The queues that are bound to the log's exchange, by the management API; none without it. */
  boundQueues(): Promise<{ queue: string; keys: string[] }[]>;
  /** The last position that was sent to the exchange. */
  sent(): number;
}

/** Thrown when another relay leads by now. */
export class LeaseLost extends Error {
  override name = 'LeaseLost';
}

const probesAtOnce = 16;
const upkeepEveryMs = 30_000;
const log = logger('relay');

export function openQuarantine(options: QuarantineOptions) {
  const { broker, database, fence, signal } = options;
  const { domain } = options.log;
  /** Strangers' queues whose bindings the broker does not let us change. */
  const untouchable = new Set<string>();
  const bindings = openBindings({ broker, domain });
  const returns = openReturns({ ...options, bindings });

  async function unbind(queues: BoundQueue[]): Promise<void> {
    for (const of of await bindings.unbind(queues, ({ queue }) => returns.isAway(queue) && !signal.aborted)) {
      log.error({ domain, queue: of.queue }, 'the broker does not let the relay remove the bindings of this queue');
      untouchable.add(of.queue);
      returns.remove(of.queue);
      await clear(database, fence, of);
    }
    // If this process was suspended meanwhile, another relay may have bound one again, and this one unbound it.
    const aside = new Set((await selectFollowers(database)).filter(isAside).map(({ queue }) => queue));
    for (const of of queues) if (!aside.has(of.queue) && !untouchable.has(of.queue)) await bindings.bind(of);
  }

  async function ask(of: BoundQueue, events: RecordedEvent[]): Promise<Answer> {
    // The first of them, so that none overtakes another. A handler drops an event that it does not follow.
    const event = events.find((one) => isFor(of.keys, one)) ?? events[0]!;
    const answer = await probe({ broker, queue: bindings.fullName(of), event });
    log.info({ domain, queue: of.queue, answer }, 'a queue was probed');
    return answer;
  }

  /** The handlers' queues, and strangers' that the events go to, if the management API is known. */
  async function suspects(events: RecordedEvent[]): Promise<BoundQueue[]> {
    const followers = await selectFollowers(database);
    const known = new Set(followers.map(bindings.fullName));
    const bound = await options.boundQueues().catch((error: unknown) => {
      log.warn({ domain, err: error }, 'the management API does not tell who else is bound');
      return [];
    });
    const strangers = bound
      .filter(({ queue, keys }) => !known.has(queue) && events.some((event) => isFor(keys, event)))
      .map((of) => ({ ...of, stranger: true }));
    return [...followers.filter(({ queue }) => !returns.isAway(queue)), ...strangers].filter(
      ({ queue }) => !untouchable.has(queue),
    );
  }

  async function take(queues: BoundQueue[], missedAfter: number, event?: RecordedEvent): Promise<void> {
    for (const of of queues) {
      if (!(await setAside(database, fence, of, missedAfter))) throw new LeaseLost();
      log.error({ domain, queue: of.queue }, 'a queue takes no messages: it is set aside');
      returns.add({ ...of, missedAfter }, event);
    }
    await unbind(queues);
  }

  /** Binds what is not set aside, unbinds what is, and forgets what does not exist. */
  async function compareBindings(): Promise<void> {
    const rows = await selectFollowers(database);
    await unbind(rows.filter(({ queue }) => returns.isAway(queue)));
    for (const row of rows) {
      if (signal.aborted) return;
      if (!isAside(row) && !returns.isAway(row.queue) && (await bindings.bind(row)) === 'missing')
        await forget(database, row);
    }
  }

  return {
    /** Before anything is published: removes the bindings of what is set aside. */
    async begin(): Promise<void> {
      const away = (await selectFollowers(database)).filter(isAside);
      for (const of of away) returns.add(of);
      await unbind(away);
    },

    /**
     * Looks for queues that do not confirm, and sets them aside. `events` were not confirmed; `checkpoint`: the position
     * up to which all is. Throws LeaseLost, and errors of the database.
     */
    async examine(events: RecordedEvent[], checkpoint: number): Promise<Verdict> {
      // One that had just been bound again is the first suspect.
      const relapsed = returns.relapsed();
      if (relapsed.length > 0) {
        await unbind(relapsed);
        return 'found';
      }
      const answers = new Map<BoundQueue, Answer>();
      await forEachConcurrent(await suspects(events), probesAtOnce, async (of) => {
        answers.set(of, await ask(of, events));
      });
      const those = (...which: Answer[]) =>
        [...answers].filter(([, answer]) => which.includes(answer)).map(([of]) => of);
      const broken = those('refused', 'silent');
      if (those('blocked').length > 0) return 'ill';
      if (broken.length === 0) return 'nothing';
      // A witness of our own must not outweigh several queues: it may have been made on the nodes that are left.
      const othersConfirm = those('confirmed').length > 0;
      if (!othersConfirm && (broken.length > 1 || (await probeWitness(broker, events[0]!)) !== 'confirmed'))
        return 'ill';
      await take(broken, checkpoint, events[0]);
      return 'found';
    },

    /** Sets queues aside, which have missed what comes after a position. Throws LeaseLost. */
    take,

    /** The queues that are known and not set aside, with their full names. */
    async bound(): Promise<(BoundQueue & { fullName: string })[]> {
      const followers = (await selectFollowers(database)).filter(({ queue }) => !returns.isAway(queue));
      return followers.map((of) => ({ ...of, fullName: bindings.fullName(of) }));
    },

    compareBindings,

    /** Brings queues back, and compares the bindings with the table, until the signal fires. Never throws. */
    async keep(): Promise<void> {
      const comparing = async () => {
        for (;;) {
          await sleep(upkeepEveryMs, signal);
          if (signal.aborted) return;
          await compareBindings().catch((error: unknown) =>
            log.warn({ domain, err: error }, 'bindings are not compared'),
          );
        }
      };
      await Promise.all([returns.run(), comparing()]);
    },
  };
}

export type Quarantine = ReturnType<typeof openQuarantine>;

function isAside<F extends { missedAfter: number | undefined }>(of: F): of is F & Away {
  return of.missedAfter !== undefined;
}
