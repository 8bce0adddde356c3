/**
 * Sets a saga's cursors back where a log has lost its end in a fail-over, so that the events that have come in the place of lost ones are
 * handled. What a saga has recorded and done because of lost events is reported and stays: see docs/fail-over.md, Sagas.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { floorsOf, lossesCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { eachEpoch, type Missed } from '@caudal/messaging/each-epoch.ts';
import { type Logs, logsOf } from '@caudal/messaging/logs.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { lower } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

export interface SagaLossesOptions {
  handler: Pick<EventHandler, 'name' | 'entities' | 'handle'>;
  /** By domain; those of the handler's entities. */
  logs: Logs;
  /** Holds the cursors, and the checkpoint of the search. */
  database: Database;
  holder?: string;
  /** How often the logs are asked for their epochs; 30,000 ms if absent. */
  everyMs?: number;
  /** The second search is so much later, for processes that had not noticed the loss; 60,000 ms if absent. */
  againAfterMs?: number;
}

interface Cursor {
  stream: string;
  version: number;
}

const cursorsAtOnce = 500;
const readsAtOnce = 4;
const pageSize = 1_000;
const listedAtMost = 20;

const logs = logger('saga');
const ahead = counter(
  'saga_cursors_ahead_total',
  'Streams of which a saga has seen events that the log has lost in a fail-over: an operator has to look',
);

function selectCursors(database: Database, handler: string, domain: string, after: string): Promise<Cursor[]> {
  return database.query<Cursor>({
    name: 'saga-cursors-page',
    text: `SELECT stream, version FROM handler_cursors
      WHERE handler = $1 AND stream > $2 AND starts_with(stream, $3) AND version > 0 ORDER BY stream LIMIT $4`,
    values: [handler, after, `${domain}.`, cursorsAtOnce],
  });
}

/** Moves a cursor back, or deletes it if nothing is left, unless it has been moved since it was read. Its position is another one then. */
async function moveBack(database: Database, handler: string, { stream, version }: Cursor, to: number): Promise<void> {
  await database.query({
    name: 'saga-cursor-back',
    text: `WITH ended AS (
        DELETE FROM handler_cursors WHERE handler = $1 AND stream = $2 AND version = $3 AND $4 = 0 AND NOT held
      )
      UPDATE handler_cursors SET version = $4, position = NULL, position_of = NULL
      WHERE handler = $1 AND stream = $2 AND version = $3 AND ($4 > 0 OR held)`,
    values: [handler, stream, version, to],
  });
}

/** The last version of a stream up to a position of its log. */
async function versionAt(log: LogReader, stream: string, position: number): Promise<number> {
  let version = 0;
  for (;;) {
    const page: RecordedEvent[] = await log.readStreams([{ stream, afterVersion: version }], { limit: pageSize });
    const kept = page.filter((event) => event.position <= position);
    version = kept.at(-1)?.version ?? version;
    if (kept.length < pageSize) return version;
  }
}

/** Watches the logs that a saga follows until it is stopped. */
export function watchSagaLosses(options: SagaLossesOptions): Running {
  const { handler, database, holder, everyMs, againAfterMs = 60_000 } = options;
  const stopping = new AbortController();

  /** No message may come for them any more, and reconciliation may have passed them. */
  async function handleAfter(log: LogReader, stream: string, kept: number): Promise<void> {
    for (let afterVersion = kept; ; ) {
      const page = await log.readStreams([{ stream, afterVersion }], { limit: pageSize });
      if (page.length === 0) return;
      // What can't be handled now is a gap for the next event of the stream.
      if ((await handler.handle(page)).length > 0) return;
      afterVersion = page.at(-1)!.version;
    }
  }

  /**
   * Sets back each cursor whose event is not in the log, or was recorded after the loss: it may be another one than the saga has seen.
   * What is handled twice does no harm, as after a crash.
   */
  async function setBack(log: LogReader, { after }: Missed, signal: AbortSignal): Promise<void> {
    // First: what they pass counts as seen. They are ahead only if a day of the log was lost.
    await lower(database, floorsOf(handler.name, log.domain), after);
    const lost: string[] = [];
    let count = 0;
    for (let last = ''; !signal.aborted; ) {
      const cursors = await selectCursors(database, handler.name, log.domain, last);
      await forEachConcurrent(cursors, readsAtOnce, async (cursor) => {
        const { stream, version } = cursor;
        const [event] = await log.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 });
        if (event && event.position <= after) return;
        if (!event) {
          count += 1;
          if (lost.length < listedAtMost) lost.push(stream);
        }
        const kept = await versionAt(log, stream, after);
        await moveBack(database, handler.name, cursor, kept);
        await handleAfter(log, stream, kept);
      });
      if (cursors.length < cursorsAtOnce) break;
      last = cursors.at(-1)!.stream;
    }
    if (count === 0) return;
    ahead.add(count, { handler: handler.name, domain: log.domain });
    logs.error(
      { handler: handler.name, domain: log.domain, count, streams: lost },
      'a saga has seen events that the log has lost: it goes on, and what it has done because of them stays',
    );
  }

  const { signal } = stopping;
  const running = Promise.all(
    logsOf(options.logs, handler).map((log) => {
      const name = lossesCheckpoint(handler.name, log.domain);
      return eachEpoch({ log, database, name, holder, everyMs, signal }, async (missed, ending) => {
        await setBack(log, missed, ending);
        await sleep(againAfterMs, ending);
        if (!ending.aborted) await setBack(log, missed, ending);
      });
    }),
  );
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
