/**
 * Finds the queues for which the broker does not confirm, sets them aside, and restores them. One is opened for each time
 * that a relay leads. See docs/broken-queues.md.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { sleep, within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { openBindings } from './bindings.ts';
import { type BoundQueue, clear, forget, isSetAside, selectFollowers, setAside } from './followers.ts';
import { type Answer, probe, probeWitness } from './probe.ts';
import { openRestoring, type RestoringOptions } from './restoring.ts';
import { isFor } from './send-missed.ts';

/**
 * `found`: queues were set aside. `nothing`: all confirm. `ill`: none confirms, so it is the broker; or it takes nothing
 * at the moment.
 */
export type Verdict = 'found' | 'nothing' | 'ill';

export interface BrokenQueuesOptions extends RestoringOptions {
  /** The queues that are bound to the log's exchange, by the management API; none without it. */
  boundQueues(): Promise<{ queue: string; keys: string[] }[]>;
}

/** Thrown when another relay leads by now. */
export class LeaseLost extends Error {
  override name = 'LeaseLost';
}

const probesAtOnce = 16;
const compareEveryMs = 30_000;
/** In trouble the management API may hang as well. */
const managementMs = 2_000;
const log = logger('relay');

export function openBrokenQueues(options: BrokenQueuesOptions) {
  const { broker, database, fence, signal } = options;
  const { domain } = options.log;
  /** Strangers' queues whose bindings the broker does not let us change. */
  const untouchable = new Set<string>();
  const bindings = openBindings({ broker, domain, signal });
  const restoring = openRestoring({ ...options, bindings });

  async function unbind(queues: BoundQueue[]): Promise<void> {
    if (queues.length === 0) return;
    for (const queue of await bindings.unbind(queues, (one) => restoring.isUnbound(one.queue))) {
      log.error({ domain, queue: queue.queue }, 'the broker does not let the relay remove the bindings of this queue');
      untouchable.add(queue.queue);
      restoring.remove(queue.queue);
      await clear(database, fence, queue);
    }
    // If this process was suspended meanwhile, another relay may have bound one again, and this one unbound it.
    const rows = new Set((await selectFollowers(database)).filter(isSetAside).map(({ queue }) => queue));
    for (const queue of queues) if (!rows.has(queue.queue) && !untouchable.has(queue.queue)) await bindings.bind(queue);
  }

  async function strangers(events: RecordedEvent[]): Promise<BoundQueue[]> {
    let bound: { queue: string; keys: string[] }[] = [];
    const asking = options.boundQueues().then((queues) => {
      bound = queues;
    });
    const answered = await within(managementMs, asking, signal).catch(() => false);
    if (!answered) log.warn({ domain }, 'the management API does not tell who else is bound');
    const known = new Set((await selectFollowers(database)).map(({ queue }) => queue));
    return bound
      .filter(({ queue, keys }) => !known.has(queue) && events.some((event) => isFor(keys, event)))
      .map((queue) => ({ ...queue, stranger: true }));
  }

  /** The queues that are bound. A stranger's only if one of the events is for it: it gets no others. */
  async function bound(events: RecordedEvent[]): Promise<BoundQueue[]> {
    const followers = await selectFollowers(database);
    return followers.filter(
      ({ queue, stranger, keys }) =>
        !restoring.isUnbound(queue) && !(stranger && !events.some((event) => isFor(keys, event))),
    );
  }

  /** Asks each queue. The first event that it follows, so that none overtakes another; a handler drops any other. */
  async function ask(queues: BoundQueue[], events: RecordedEvent[]): Promise<Map<BoundQueue, Answer>> {
    const answers = new Map<BoundQueue, Answer>();
    await forEachConcurrent(queues, probesAtOnce, async (queue) => {
      if (untouchable.has(queue.queue)) return;
      const answer = await probe({ broker, queue: queue.queue, event: firstFor(queue, events), signal });
      log.info({ domain, queue: queue.queue, answer }, 'a queue was probed');
      answers.set(queue, answer);
    });
    return answers;
  }

  async function take(queues: BoundQueue[], missedAfter: number, events: RecordedEvent[]): Promise<void> {
    for (const queue of queues) {
      const broken = { ...queue, missedAfter };
      if (!(await setAside(database, fence, broken))) throw new LeaseLost();
      log.error({ domain, queue: queue.queue }, 'a queue takes no messages: it is set aside');
      restoring.add(broken, firstFor(queue, events));
    }
    await unbind(queues);
  }

  /** Binds what is not set aside, unbinds what is, and forgets what does not exist. */
  async function compareBindings(): Promise<void> {
    const rows = await selectFollowers(database);
    await unbind(rows.filter(({ queue }) => restoring.isUnbound(queue)));
    await forEachConcurrent(rows, probesAtOnce, async (row) => {
      const isWanted = () => !isSetAside(row) && !restoring.isUnbound(row.queue);
      if ((await bindings.bind(row, { isWanted })) === 'missing') await forget(database, row);
    });
  }

  return {
    /** Before anything is published: removes the bindings of what is set aside. */
    async begin(): Promise<void> {
      const rows = (await selectFollowers(database)).filter(isSetAside);
      for (const row of rows) restoring.add(row);
      await unbind(rows);
    },

    /**
     * Looks for queues that do not confirm, and sets them aside. `events` were not confirmed; `missedAfter`: the position
     * up to which all is. Throws LeaseLost, and errors of the database.
     */
    async examine(events: RecordedEvent[], missedAfter: number): Promise<Verdict> {
      // One that is set aside may be bound again: on its return, by a handler that did not know, or by a person.
      const again = unbind(restoring.all());
      const [own, others] = await Promise.all([
        bound(events).then((queues) => ask(queues, events)),
        strangers(events).then((queues) => ask(queues, events)),
        again,
      ]);
      const answers = [...own, ...others];
      const those = (...which: Answer[]) =>
        answers.filter(([, answer]) => which.includes(answer)).map(([queue]) => queue);
      const broken = those('refused', 'silent');
      const confirmed = those('confirmed').length > 0;
      if (those('blocked').length > 0 || signal.aborted) return 'ill';
      if (broken.length === 0) return confirmed || those('unknown').length === 0 ? 'nothing' : 'ill';
      // A witness of our own must not outweigh several queues: it may have been made on the nodes that are left.
      const alive =
        confirmed ||
        (handlersOf(broken) === 1 && (await probeWitness({ broker, event: events[0]!, signal })) === 'confirmed');
      if (!alive) return 'ill';
      await take(broken, missedAfter, events);
      return 'found';
    },

    /** Sets queues aside, which have missed what comes after a position, `events` to begin with. Throws LeaseLost. */
    take,
    bound,
    compareBindings,

    /** Restores queues, and compares the bindings with the table, until the signal fires. Never throws. */
    async keep(): Promise<void> {
      const comparing = async () => {
        for (;;) {
          await sleep(compareEveryMs, signal);
          if (signal.aborted) return;
          await compareBindings().catch((error: unknown) =>
            log.warn({ domain, err: error }, 'the bindings are not compared'),
          );
        }
      };
      await Promise.all([restoring.run(), comparing()]);
    },
  };
}

export type BrokenQueues = ReturnType<typeof openBrokenQueues>;

/** How many handlers queues belong to: the parts of one may all be on the same nodes. */
function handlersOf(queues: BoundQueue[]): number {
  return new Set(queues.map(({ queue }) => queue.replace(/\.p\d+$/, ''))).size;
}

function firstFor({ keys }: BoundQueue, events: RecordedEvent[]): RecordedEvent {
  return events.find((event) => isFor(keys, event)) ?? events[0]!;
}
