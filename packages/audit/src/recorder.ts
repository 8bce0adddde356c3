/**
 * Writes records. What must be on disk first is written at once, together with what has gathered; everything else once a second. One
 * batch is under way at a time, so what comes meanwhile is the next one. See docs/audit.md, Durability and Bounds.
 */
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { type Clock, systemClock, within } from '@caudal/kernel/time.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, gauge, histogram } from '@caudal/telemetry/metrics.ts';
import { bodyOf, type Pending } from './body.ts';
import { addRecords, type ChainEnd } from './chain.ts';
import { gather } from './gather.ts';
import { type AuditEntry, emptyEntry, outcomes } from './types.ts';

const log = logger('audit');
const written = counter('audit_records_total', 'Records given to the audit log, by kind');
const lost = counter(
  'audit_records_lost_total',
  'Records that were dropped: too many waited, or the database refuses them',
);
const failures = counter('audit_write_failures_total', 'Batches that could not be written to the audit log');
const waitingNow = gauge('audit_records_waiting', 'Records that wait to be written to the audit log', '1');
const duration = histogram(
  'audit_write_seconds',
  'Writes of a batch of records, waits for other writers included',
  's',
  [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
);

const flushMs = 1_000;
/** What is counted is written after this time. */
const windowMs = 60_000;
/** Records that wait to be written: further ones are dropped. */
const mostWaiting = 5_000;
/** Acts that wait to be written: further ones are refused. */
const mostActs = 1_000;
const batchSize = 500;
const checkpointMs = 3_600_000;
const stopMs = 5_000;

const denialBounds = { singlesOfCaller: () => 10, singlesOfAll: 100, mostCallers: 50 };
/** Services read for each order and mail: they are counted. */
const readBounds = {
  singlesOfCaller: ({ subject }: AuditEntry) => (subject.startsWith('service:') ? 0 : 600),
  singlesOfAll: 3_000,
  mostCallers: 200,
};
/** Acts of callers on their own resources, and orders and the like for others. Their events name the callers, too. */
const actBounds = { singlesOfCaller: () => 60, singlesOfAll: 1_000, mostCallers: 500 };

export interface Recorder extends Running {
  /** Resolves when the record is on disk. Rejects with UNAVAILABLE or RESOURCE_EXHAUSTED; then it is not, or may not be. */
  write(entry: AuditEntry): Promise<void>;
  /** The record is written soon. Never throws, and never waits. */
  note(entry: AuditEntry): void;
}

/** Under which bounds the entry is counted; undefined: each has a record. */
function boundsOf({ kind, subject, bounded }: AuditEntry): 'denied' | 'unknown' | 'reads' | 'acts' | undefined {
  if (kind === 'PERSONAL') return 'reads';
  if (kind === 'DENIAL') return subject ? 'denied' : 'unknown';
  return bounded && 'acts';
}

interface Act {
  body: string;
  resolve(): void;
  reject(error: unknown): void;
}

/** `database`: of any schema of the database. Nothing is sent before there is a record. */
export function openRecorder({ database, clock = systemClock }: { database: Transaction; clock?: Clock }): Recorder {
  let waiting: Pending[] = [];
  const acts: Act[] = [];
  /** Callers with a token, and without: so that those without one, who can't be counted, leave room for the others. */
  const gathered = {
    denied: gather(denialBounds),
    unknown: gather(denialBounds),
    reads: gather(readBounds),
    acts: gather(actBounds),
  };
  let dropped = 0;
  let flushing: Promise<void> | undefined;
  let flushTimer: NodeJS.Timeout | undefined;
  let windowTimer: NodeJS.Timeout | undefined;
  let failing = false;
  let toldAt: number | undefined;

  function drop(count: number): void {
    dropped += count;
    lost.add(count);
  }

  function push(record: Pending): void {
    if (waiting.length >= mostWaiting) {
      drop(record.count);
      return;
    }
    waiting.push(record);
    waitingNow.set(waiting.length);
    flushTimer ??= setTimeout(() => void flush(), flushMs).unref();
  }

  function note(entry: AuditEntry): void {
    const now = clock();
    const among = boundsOf(entry);
    if (!among) {
      push({ ...entry, time: now, count: 1 });
      return;
    }
    const single = gathered[among].take(entry, now);
    windowTimer ??= setTimeout(endWindow, windowMs).unref();
    if (!single) return;
    // Not the subject: it may be personal.
    const { method, outcome, requestId, address } = entry;
    if (entry.kind === 'DENIAL')
      log.info({ method, reason: outcome, request_id: requestId, address: address || undefined }, 'call refused');
    push(single);
  }

  function endWindow(): void {
    clearTimeout(windowTimer);
    windowTimer = undefined;
    for (const record of Object.values(gathered).flatMap((each) => each.end())) {
      if (record.kind === 'DENIAL') log.info({ reason: record.outcome, count: record.count }, 'more calls refused');
      push(record);
    }
  }

  async function add(bodies: string[], durable: boolean): Promise<void> {
    const began = performance.now();
    const end = await addRecords(database, bodies, { durable });
    duration.record((performance.now() - began) / 1_000);
    failing = false;
    tell(end);
  }

  /** Where the chain ends, once an hour, so that it is kept where logs are kept. */
  function tell({ position, hash }: ChainEnd): void {
    const now = performance.now();
    if (toldAt !== undefined && now - toldAt < checkpointMs) return;
    toldAt = now;
    log.info({ checkpoint: `${position}:${hash.toString('hex')}` }, 'audit checkpoint');
  }

  /** Writes what the database takes, and drops what it refuses for its content. Throws if it takes nothing now. */
  async function addAll(records: Pending[]): Promise<void> {
    try {
      if (records.length > 0) await add(records.map(bodyOf), false);
    } catch (error) {
      if (isTransient(error)) throw error;
      if (records.length > 1) {
        const middle = records.length >> 1;
        await addAll(records.slice(0, middle));
        await addAll(records.slice(middle));
        return;
      }
      log.error({ err: error, kind: records[0]!.kind }, 'a record is refused by the database, and dropped');
      drop(records[0]!.count);
    }
  }

  async function writeBatch(): Promise<void> {
    const ownActs = acts.splice(0, batchSize);
    const noted = waiting.splice(0, batchSize - ownActs.length);
    const gap = dropped;
    const all: Pending[] =
      gap > 0
        ? [{ ...emptyEntry, kind: 'PERSONAL', outcome: outcomes.lost, time: clock(), count: gap }, ...noted]
        : noted;
    try {
      if (ownActs.length > 0) await writeActs(ownActs, all);
      else await addAll(all);
      dropped -= gap;
      for (const { kind } of all) written.add(1, { kind });
    } catch (error) {
      failures.add(1);
      if (!failing) log.error({ err: error }, 'records of the audit log can not be written; they are kept for a while');
      failing = true;
      // The record of the gap is made anew.
      const both = [...noted, ...waiting];
      waiting = both.slice(0, mostWaiting);
      // What came while these were under way.
      for (const { count } of both.slice(mostWaiting)) drop(count);
      throw error;
    } finally {
      waitingNow.set(waiting.length);
    }
  }

  /** With what has gathered, if the database takes both together; what it refuses must not keep acts from being done. */
  async function writeActs(ownActs: Act[], noted: Pending[]): Promise<void> {
    const bodies = ownActs.map(({ body }) => body);
    try {
      await add([...noted.map(bodyOf), ...bodies], true);
      for (const { resolve } of ownActs) resolve();
    } catch (error) {
      if (isTransient(error)) {
        for (const { reject } of ownActs) reject(error);
        throw error;
      }
      await Promise.all(ownActs.map(({ body, resolve, reject }) => add([body], true).then(resolve, reject)));
      await addAll(noted);
    }
  }

  function flush(): Promise<void> {
    clearTimeout(flushTimer);
    flushTimer = undefined;
    flushing ??= (async () => {
      try {
        do await writeBatch();
        while (acts.length > 0 || waiting.length >= batchSize);
      } catch {
        // Reported. Acts that came meanwhile have a batch of their own.
        if (acts.length > 0) setImmediate(() => void flush());
      } finally {
        flushing = undefined;
        if (waiting.length > 0) flushTimer ??= setTimeout(() => void flush(), flushMs).unref();
      }
    })();
    return flushing;
  }

  async function stop(): Promise<void> {
    endWindow();
    const all = async () => {
      await flushing;
      while (acts.length > 0 || (waiting.length > 0 && !failing)) await flush();
    };
    await within(stopMs, all()).catch(() => {});
    clearTimeout(flushTimer);
    clearTimeout(windowTimer);
    if (waiting.length > 0)
      log.error({ records: waiting.length }, 'records of the audit log are lost with this process');
  }

  let stopped: Promise<void> | undefined;
  return {
    write(entry) {
      if (acts.length >= mostActs) return Promise.reject(tooManyActs());
      return new Promise<void>((resolve, reject) => {
        acts.push({ body: bodyOf({ ...entry, time: clock(), count: 1 }), resolve, reject });
        written.add(1, { kind: entry.kind });
        void flush();
      });
    },
    note,
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

function tooManyActs(): CaudalError {
  const text = 'Too many acts wait for their record in the audit log. Try again.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'AUDIT_BUSY', text, { retryAfterMs: 1_000 });
}
