/**
 * Finds views with events that a log has lost in a fail-over, and has them built anew: see docs/fail-over.md, Views. One process does
 * it for a projection and a log, and notes which epoch of the log it has searched for, so that no loss is missed by a restart.
 */

import type { LogReader } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep, systemClock } from '@caudal/kernel/time.ts';
import { lossesCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { eachEpoch } from '@caudal/messaging/each-epoch.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { collectionOf, generationName } from '../projector.ts';
import { type Logs, logsOf } from '../read-logs.ts';
import { nameOf } from '../stores/keys.ts';
import { hasLost } from '../stores/marks.ts';
import type { ViewStore } from '../stores/store.ts';
import { currentOf, readGenerations } from './generations.ts';

export interface WatchLossesOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** By domain; those of the projection's entities. */
  logs: Logs;
  /** Holds the checkpoint of the search. */
  database: Database;
  holder?: string;
  /** Builds the views anew. */
  rebuild(): Promise<unknown>;
  /** How often the logs are asked for their epochs; 30,000 ms if absent. */
  everyMs?: number;
  /**
   * The second search is so much later, since a process may have handled a lost event before it noticed the loss; 60,000 ms if
   * absent.
   */
  againAfterMs?: number;
}

const scanSize = 500;
const listedAtMost = 20;
/** Between two tries to build views anew: another rebuild may run. */
const retryMs = 30_000;

const logs = logger('projections');
const found = gauge(
  'views_with_lost_events',
  'Views with events that a log has lost in a fail-over, until they are built anew',
  '1',
);

/** Watches the logs of a projection until it is stopped. */
export function watchLosses<V>(options: WatchLossesOptions<V>): Running {
  const { projection, store, database, holder, rebuild, everyMs, againAfterMs = 60_000 } = options;
  const name = nameOf(projection);
  const stopping = new AbortController();

  /** The views of the generations that queries read, or will read, that have lost events of the log. */
  async function search(log: LogReader, signal: AbortSignal): Promise<number> {
    const epochs = log.epochs?.() ?? [];
    const record = await readGenerations(projection, store);
    const current = record && currentOf(record, systemClock().getTime());
    if (!record || !current) return 0;
    let count = 0;
    for (const { number } of record.generations.filter(
      (each) => each.from !== undefined && each.number >= current.number,
    )) {
      const collection = collectionOf({ projection, store, generation: number });
      const ids: string[] = [];
      for (let afterId: string | undefined; !signal.aborted; ) {
        const page = await collection.scan({ afterId, limit: scanSize });
        for (const document of page.filter((each) => hasLost(each, log.domain, epochs))) {
          count += 1;
          if (ids.length < listedAtMost) ids.push(document.id);
        }
        if (page.length < scanSize) break;
        afterId = page.at(-1)!.id;
      }
      if (ids.length > 0)
        logs.error(
          { generation: generationName(projection, number), domain: log.domain, count, ids },
          'views have events that the log has lost: they are built anew',
        );
    }
    found.set(count, { projection: name, domain: log.domain });
    return count;
  }

  /** Searches until nothing is found, at the first and at the second time. */
  async function searchAndHeal(log: LogReader, signal: AbortSignal): Promise<void> {
    for (let time = 1; time <= 2; time++) {
      while (!signal.aborted && (await search(log, signal)) > 0) {
        try {
          await rebuild();
        } catch (error) {
          if (!signal.aborted)
            logs.error({ projection: name, err: error }, 'views with lost events could not be built anew');
          await sleep(retryMs, signal);
        }
      }
      if (time === 1) await sleep(againAfterMs, signal);
    }
  }

  const { signal } = stopping;
  const running = Promise.all(
    logsOf(projection, options.logs).map((log) =>
      eachEpoch({ log, database, name: lossesCheckpoint(name, log.domain), holder, everyMs, signal }, (_, ending) =>
        searchAndHeal(log, ending),
      ),
    ),
  );
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
