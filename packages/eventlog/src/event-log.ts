/** A context's event log in PostgreSQL. */
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { type Clock, systemClock } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { isBusyError, sqlState } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { appendBatch, fromFuture, type Judgeable, NoPartition, UnsendableBatch } from './append.ts';
import type { Archive } from './archive/archive.ts';
import { isOtherEpoch, openEpochs } from './epochs.ts';
import { type Failure, groupCommit } from './group-commit.ts';
import { nameHolder } from './holder.ts';
import { addMissing } from './missing.ts';
import { notifier } from './notify.ts';
import { openReader } from './reader.ts';
import { selectSnapshot, selectSnapshotVersion, upsertSnapshot } from './snapshots.ts';
import { type LockConnections, openStreamLocks } from './stream-locks.ts';
import type { Append, AppendResult, EventLog, RecordedEvent } from './types.ts';

export interface OpenEventLogOptions {
  /** Its schema holds the log, migrated. The caller closes the database, after `stop`. */
  database: Database;
  /**
   * The connection for appends: then reads never delay them, and the next batch is sent while PostgreSQL processes one.
   * The database's pool if absent.
   */
  appender?: Transaction;
  /** The connections for locks of contended streams, shared by the logs of a process; its own if absent. */
  lockConnections?: LockConnections;
  /** The context: `orders`. */
  domain: string;
  /** How long an append is repeated while the database is unreachable or busy; 5,000 ms if absent. */
  retryForMs?: number;
  /** Appends that may wait for a call; 10,000 if absent. More are RESOURCE_EXHAUSTED. */
  maxQueued?: number;
  /** The longest wait for growth whose announcement was lost, in milliseconds; 2,000 if absent. */
  announcedPollMs?: number;
  /** Tells which ids are of a time too far ahead; the system's if absent. */
  clock?: Clock;
  /** Where old months are, if some have left the database. */
  archive?: Archive | undefined;
}

const log = logger('eventlog');
const seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const appendSeconds = histogram('eventlog_append_seconds', 'From append() to its result, by result', 's', seconds, {
  formerly: { labels: { result: 'verdict' } },
});
const lockSeconds = histogram('eventlog_append_lock_seconds', "A batch's wait for its turn at the log", 's', seconds);
const batchSize = histogram('eventlog_append_batch_size', 'Appends a batch', '1', [1, 2, 5, 10, 20, 50, 100, 200, 500]);
const appends = counter('eventlog_appends_total', 'Appends by result; failed: without one', {
  formerly: { labels: { result: 'verdict' } },
});

/** After this long a wait for the turn is reported, with the session that holds it. */
const longWaitMs = 1_000;
const pageSize = 1_000;

function classify(error: unknown): Failure {
  if (error instanceof UnsendableBatch) return 'wrong';
  // The pool's queue was full, or the statement did nothing and may succeed later.
  if (isCode(error, 'RESOURCE_EXHAUSTED') || isBusyError(error) || error instanceof NoPartition) return 'busy';
  // The server has refused the statement. Any other error may have occurred after the commit.
  return !isCode(error, 'UNAVAILABLE') && sqlState(error) ? 'wrong' : 'unknown';
}

/** Opens the log. It connects at first use. `stop` waits for the appends in flight. */
export function openEventLog(options: OpenEventLogOptions): EventLog & Running {
  const { database, appender = database, domain, announcedPollMs, archive, clock = systemClock } = options;
  const epochs = openEpochs(database, domain);
  const reader = openReader({ database, domain, announcedPollMs, archive, epochs });
  const others = notifier(database);
  epochs.onChange(others.restart);
  const locks = openStreamLocks(database, options.lockConnections);

  /** In which epoch an append was made; absent: before one was known. */
  const madeIn = new WeakMap<Append, number>();

  /** Sends those that were made in the present epoch; the others are outdated. */
  async function send(batch: Judgeable[]): Promise<AppendResult[]> {
    const epoch = await epochs.learn();
    const isPresent = ({ append }: Judgeable) => (madeIn.get(append) ?? epoch) === epoch;
    const present = batch.every(isPresent) ? batch : batch.filter(isPresent);
    const results = present.length === 0 ? [] : await sendIn(epoch, present);
    if (present === batch) return results;
    let next = 0;
    return batch.map((judgeable) => (isPresent(judgeable) ? results[next++]! : { kind: 'outdated' }));
  }

  async function sendIn(epoch: number, batch: Judgeable[]): Promise<AppendResult[]> {
    batchSize.record(batch.length, { domain });
    const stopWatching = nameHolder(database, domain, longWaitMs);
    try {
      const { results, waitedSeconds } = await appendBatch(appender, batch, epoch);
      lockSeconds.record(waitedSeconds, { domain });
      const grownTo = Math.max(0, ...results.map((each) => (each.kind === 'appended' ? each.position : 0)));
      if (grownTo > 0) {
        reader.wake(grownTo);
        others.notify(grownTo);
      }
      await addMissing(database, { appends: batch.map(({ append }) => append), results, epoch });
      return results;
    } catch (error) {
      if (isOtherEpoch(error)) {
        await epochs.renew();
        // A server whose log has gone on elsewhere, on a connection that has outlived it.
        if (epochs.current === epoch) throw unavailable('PostgreSQL', error);
        return batch.map(() => ({ kind: 'outdated' }));
      }
      if (error instanceof NoPartition) log.error({ domain, err: error }, 'nothing can be appended');
      throw error;
    } finally {
      stopWatching();
    }
  }

  const commits = groupCommit({
    send,
    classify,
    retryForMs: options.retryForMs ?? 5_000,
    maxQueued: options.maxQueued ?? 10_000,
    onSettled(result, ms) {
      appendSeconds.record(ms / 1_000, { domain, result });
      appends.add(1, { domain, result });
    },
  });

  async function* readStream(stream: string, afterVersion = 0): AsyncIterable<RecordedEvent[]> {
    let last = afterVersion;
    const epoch = await epochs.learn();
    for (;;) {
      const page = await reader.readStreams([{ stream, afterVersion: last }], { limit: pageSize });
      // What follows does not go on from the pages before. The caller begins again.
      if (epochs.current !== epoch) throw unavailable('PostgreSQL', new Error('The log has gone on in another place.'));
      if (page.length > 0) yield page;
      if (page.length < pageSize) return;
      last = page.at(-1)!.version;
    }
  }

  return {
    domain,
    append(append) {
      const refusal = fromFuture(append, clock().getTime());
      if (refusal) return Promise.reject(refusal);
      if (epochs.current !== undefined) madeIn.set(append, epochs.current);
      return commits.append(append);
    },
    readStreams: reader.readStreams,
    readLog: reader.readLog,
    heads: reader.heads,
    readStream,
    epochs: reader.epochs!,
    onEpoch: reader.onEpoch!,
    lockStream: locks.take,
    loadSnapshot: async (stream) => (await reader.inEpoch(() => selectSnapshot(database, stream))).snapshot,
    findSnapshot: (stream) => selectSnapshotVersion(database, stream),
    async saveSnapshot(stream, snapshot) {
      const epoch = await epochs.learn();
      await upsertSnapshot(database, stream, { ...snapshot, epoch });
    },
    async stop() {
      await Promise.all([commits.close(), reader.stop(), locks.stop()]);
      others.stop();
    },
  };
}
