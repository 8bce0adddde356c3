/**
 * Makes changes of status events of the log. The change was written with the traces; it is deleted once its event is durable, and a
 * repeat adds none, since the stream knows the revision. So a crash anywhere neither loses an event nor adds one twice.
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { backoffMs, limitedTo, sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { changeStatus, parcelDecider } from './domain/parcel-stream.ts';
import { changesAnnounced } from './metrics.ts';
import { endChanges, type TakenChange, takeChanges, takenForMs } from './store/parcel-changes.ts';

export interface Announcer extends Running {
  /** There may be changes. */
  wake(): void;
}

const most = 500;
const concurrency = 64;
/** What is not decided by then is left to the next taker, so that both don't add events at a time. */
const decideMs = takenForMs - 10_000;
const log = logger('tracking-announcer');

/** `everyMs`: how often it looks for what a process that died has left. */
export function startAnnouncer(options: {
  database: Database;
  aggregates: Aggregates;
  ids: IdSource;
  everyMs: number;
}): Announcer {
  const { database, aggregates, ids, everyMs } = options;
  const stopping = new AbortController();
  let woken = new AbortController();

  async function announce(): Promise<number> {
    const taken = await takeChanges(database, most);
    if (taken.length === 0) return 0;
    const limit = limitedTo(decideMs, stopping.signal);
    const announced: { change: TakenChange; added: boolean }[] = [];
    try {
      await forEachConcurrent(taken, concurrency, async (change) => {
        announced.push({ change, added: await append(change, limit.signal) });
      });
    } finally {
      limit.end();
      await endChanges(database, announced);
      changesAnnounced.add(announced.length);
    }
    return announced.length;
  }

  /** Whether it has added an event. */
  async function append(taken: TakenChange, signal: AbortSignal): Promise<boolean> {
    const { parcel, carrier, trackingNumber, status, subStatus, since, revision } = taken;
    const change = { carrier, trackingNumber, status, subStatus, statusTime: since ?? undefined };
    let added = false;
    await aggregates.execute({
      decider: parcelDecider,
      id: parcel,
      decide(state) {
        const events = changeStatus(state, { ...change, revision: BigInt(revision) });
        added = events.length > 0;
        return events;
      },
      reply: () => undefined,
      replyCodec: noReply,
      origin: { actor: 'service:tracking', causationId: parcel, correlationId: ids(), traceparent: '' },
      signal,
    });
    return added;
  }

  const running = (async () => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      let rest = everyMs;
      try {
        woken = new AbortController();
        if ((await announce()) > 0) rest = 0;
        failures = 0;
      } catch (error) {
        failures++;
        rest = backoffMs(failures, { firstMs: 200, maxMs: 10_000 });
        if (!stopping.signal.aborted) log.warn({ err: error }, 'changes of status are announced again');
      }
      if (rest > 0) await sleep(rest, AbortSignal.any([stopping.signal, woken.signal]));
    }
  })();

  return {
    wake: () => woken.abort(),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
