/**
 * When a batch counts as handled: it is settled when each of its events is applied, was applied before, or waits in a
 * parked stream. Nothing of the batch is acknowledged before that.
 *
 *   handle ── nothing unfinished ───────────────────────────────────────────────> settled
 *     │
 *     ├─ a transient error, thrown or of an event: a dependency is unreachable. The same again after a pause, for ever.
 *     │  No attempt is counted, because otherwise an outage would park every stream. Any other error that is thrown
 *     │  becomes a failure of the event that causes it (own-errors.ts).
 *     ├─ gap:    parked? recorded, settled. Else handle again after 20 ms, since another consumer may be applying
 *     │          what is missing; then read that from the log, one query a domain for all gaps of the batch.
 *     │          If the log does not have it either, it is a failure; so it is if the archive of old months is needed, and away
 *     │          for 30 s: a single old stream must not hold up all others.
 *     └─ failed: parked? recorded, settled. Else 3 retries with growing pauses, then parked, dead letter, settled.
 *
 * Events that the log has lost in a fail-over are left out at each try (lost.ts).
 *
 * Streams that are done do not wait for those that are not, but the next batch waits. The pauses of a poison event are
 * short, and happen once, since its stream is parked after them. Only unfinished streams are searched among the parked
 * ones: the first event after a parked one is always a gap, so the usual path costs nothing.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { type Backoff, backoffMs, sleep } from '@caudal/kernel/time.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { DeadLetters } from '../dead-letters/dead-letters.ts';
import { recordArrivals } from '../dead-letters/parked.ts';
import { type Logs, logOf } from '../logs.ts';
import type { DeliveryLease, EventHandler } from '../types.ts';
import { byStream, merge } from './batch.ts';
import { withoutLost } from './lost.ts';
import { outcomes } from './outcomes.ts';
import { withOwnErrors } from './own-errors.ts';
import { openParking, sendLetter } from './parking.ts';
import { patience } from './patience.ts';

export interface Retry extends Backoff {
  /** How often a failed event is tried again. */
  times: number;
}

export interface SettleOptions {
  handler: EventHandler;
  logs: Logs;
  database: Database;
  deadLetters?: DeadLetters;
  retry: Retry;
  /** Pauses between attempts while a dependency is unreachable. */
  pause: Backoff;
  /** How long a gap waits for the archive of old months; 30,000 ms if absent. */
  archivePatienceMs?: number | undefined;
  /** Ends every wait; unsettled events stay unsettled. */
  signal: AbortSignal;
}

/** A stream of the batch that is not done. */
interface Trouble {
  stream: string;
  /** Its remaining events, from the one that failed or the first after the gap; never empty. */
  events: RecordedEvent[];
  /** In a gap: the last version that the handler has. */
  seen: number | undefined;
  /** Whether it was handled a second time: after that the log is read. */
  looked: boolean;
  /** The version that failed, how often, and its last error. */
  failure?: { version: number; count: number; error: unknown };
}

const secondLookMs = 20;
const readLimit = 1_000;
/** After a gap has waited for the archive in vain, for this long others do not wait. */
const archiveAwayMs = 300_000;
/**
 * Gaps in one read. Long gaps of many streams are filled a few at a time: streams that a read does not reach would be
 * given to the handler again and again.
 */
const cursorsAtOnce = 32;

const isArchiveAway = (error: unknown) => error instanceof CaudalError && error.reason === 'ARCHIVE_UNAVAILABLE';

/** A function that settles batches. It throws only `Stopped`. */
export function settler(options: SettleOptions): (events: RecordedEvent[], lease?: DeliveryLease) => Promise<void> {
  const { handler, logs, database, deadLetters, retry, pause, signal, archivePatienceMs = 30_000 } = options;
  const labels = { handler: handler.name };
  let archiveAwayUntil = Number.NEGATIVE_INFINITY;
  const patiently = patience({ handler: handler.name, pause, signal });
  const parking = openParking({ handler: handler.name, database });
  const handle = withOwnErrors(handler, signal);

  /** Gives streams to the handler; returns those that are not done. */
  async function attempt(streams: Map<string, Trouble>): Promise<Map<string, Trouble>> {
    const unfinished = await patiently(async () => {
      const all = [...streams.values()].flatMap(({ events }) => events);
      const present = await withoutLost({ handler: handler.name, logs }, all);
      if (present !== all) {
        const rest = new Set(present);
        for (const trouble of streams.values()) trouble.events = trouble.events.filter((event) => rest.has(event));
      }
      if (present.length === 0) return [];
      const result = await handle(present);
      const passing = result.find((one) => one.kind === 'failed' && isTransient(one.error));
      if (passing?.kind === 'failed') throw passing.error;
      return result;
    });
    const open = new Map<string, Trouble>();
    for (const one of unfinished) {
      const stream = one.kind === 'gap' ? one.stream : one.event.stream;
      const before = streams.get(stream);
      if (!before || before.events.length === 0) continue;
      const doneUpTo = one.kind === 'gap' ? one.seen : one.event.version - 1;
      const events = before.events.filter(({ version }) => version > doneUpTo);
      if (events.length === 0) continue;
      const trouble = { ...before, events, seen: one.kind === 'gap' ? one.seen : undefined };
      if (one.kind === 'failed') {
        open.set(stream, failedAgain(trouble, one.event.version, one.error));
      } else if (before.events[0]!.version === one.seen + 1) {
        // The handler got exactly the version that it reports as missing. Counted, or this would repeat for ever.
        const error = new Error(
          `${handler.name} was given version ${one.seen + 1} of ${stream} and still reports it missing`,
        );
        open.set(stream, failedAgain(trouble, one.seen + 1, error));
      } else {
        const known = before.failure?.version === one.seen + 1;
        open.set(stream, { ...trouble, failure: known ? before.failure : undefined });
      }
    }
    return open;
  }

  function failedAgain(trouble: Trouble, version: number, error: unknown): Trouble {
    outcomes.add(1, { ...labels, outcome: 'failed' });
    const count = trouble.failure?.version === version ? trouble.failure.count + 1 : 1;
    return { ...trouble, failure: { version, count, error } };
  }

  /** Records the arrived events of parked streams, and returns the other streams. */
  async function withoutParked(open: Map<string, Trouble>): Promise<Map<string, Trouble>> {
    const arrivals = [...open.values()].map(({ stream, events }) => ({ stream, lastVersion: events.at(-1)!.version }));
    const parked = await patiently(() => recordArrivals(database, handler.name, arrivals));
    for (const stream of parked) {
      outcomes.add(open.get(stream)!.events.length, { ...labels, outcome: 'parked' });
      open.delete(stream);
    }
    return open;
  }

  /**
   * The events that the gaps lack, and the streams whose events can't be read for a reason that waiting does not cure, as a damaged
   * object of the archive, or that has lasted for too long. That is a failure of these streams, and of no others.
   */
  async function readGaps(gaps: Trouble[]): Promise<{ read: RecordedEvent[]; unreadable: Set<string> }> {
    const cursors = gaps.map(({ stream, seen }) => ({ stream, afterVersion: seen! }));
    const patientUntil = performance.now() + archivePatienceMs;
    const result = await patiently(async () => {
      try {
        return { read: await logOf(logs, gaps[0]!.stream).readStreams(cursors, { limit: readLimit }) };
      } catch (error) {
        const now = performance.now();
        const isArchiveGone = isArchiveAway(error) && (now >= patientUntil || now < archiveAwayUntil);
        if (isTransient(error) && !isArchiveGone) throw error;
        if (isArchiveGone) archiveAwayUntil = now + archiveAwayMs;
        return { error };
      }
    });
    if (result.read) return { read: result.read, unreadable: new Set() };
    if (gaps.length === 1) {
      const [gap] = gaps as [Trouble];
      Object.assign(gap, failedAgain(gap, gap.seen! + 1, result.error));
      return { read: [], unreadable: new Set([gap.stream]) };
    }
    // Which of them it is, each read by itself shows.
    const each = await Promise.all(gaps.map((gap) => readGaps([gap])));
    return {
      read: each.flatMap(({ read }) => read),
      unreadable: new Set(each.flatMap(({ unreadable }) => [...unreadable])),
    };
  }

  /** Reads the missing events and puts them before the others. Returns the gaps that the read has reached. */
  async function fillGaps(gaps: Trouble[]): Promise<Trouble[]> {
    const known: Trouble[] = [];
    let count = 0;
    for (const ofDomain of Map.groupBy(gaps, ({ stream }) => domainOf(stream)).values()) {
      for (let place = 0; place < ofDomain.length && count < readLimit; place += cursorsAtOnce) {
        const part = ofDomain.slice(place, place + cursorsAtOnce);
        const { read, unreadable } = await readGaps(part);
        count += read.length;
        const missing = byStream(read);
        for (const gap of part) {
          if (unreadable.has(gap.stream)) {
            known.push(gap);
            continue;
          }
          const found = missing.get(gap.stream);
          // The read was full before it reached this stream.
          if (!found && read.length === readLimit) continue;
          known.push(gap);
          if (found?.[0]?.version === gap.seen! + 1) {
            outcomes.add(found.length, { ...labels, outcome: 'healed' });
            gap.events = merge(found, gap.events);
          } else {
            // The log does not have it: a replica lags, or the log has lost its end in a failover.
            const error = new Error(`version ${gap.seen! + 1} of ${gap.stream} is not in the log`);
            Object.assign(gap, failedAgain(gap, gap.seen! + 1, error));
          }
        }
      }
    }
    return known;
  }

  async function parkStream({ events, failure }: Trouble, fence: Fence | undefined): Promise<void> {
    const { version, count: attempts, error } = failure!;
    const isNew = await patiently(() => parking.park(events, { version, error, attempts }, fence));
    if (isNew && deadLetters)
      await sendLetter(deadLetters, { event: events[0]!, error, handler: handler.name }, signal);
    outcomes.add(events.length, { ...labels, outcome: 'parked' });
  }

  return async (events, lease) => {
    // Before they are sorted by version: a lost event and one that the log has may have the same.
    const arrived = await patiently(() => withoutLost({ handler: handler.name, logs }, events));
    let open = new Map<string, Trouble>();
    for (const [stream, ofStream] of byStream(arrived))
      open.set(stream, { stream, events: ofStream, seen: undefined, looked: false });
    open = await attempt(open);
    while (open.size > 0) {
      open = await withoutParked(open);
      const given = [...open.values()].filter(({ failure }) => failure && failure.count > retry.times);
      for (const trouble of given) {
        await parkStream(trouble, lease?.fence);
        open.delete(trouble.stream);
      }
      if (open.size === 0) return;

      // Gaps first: they are filled quickly, and failed events have to wait anyway.
      const gaps = [...open.values()].filter(({ seen, failure }) => seen !== undefined && !failure);
      const now = new Map((gaps.length > 0 ? gaps : [...open.values()]).map((trouble) => [trouble.stream, trouble]));
      const failures = Math.max(0, ...[...now.values()].map(({ failure }) => failure?.count ?? 0));
      if (failures > 0) await sleep(backoffMs(failures, retry), signal);
      else if (gaps.some(({ looked }) => !looked)) await sleep(secondLookMs, signal);
      const toFill = [...now.values()].filter(({ seen, looked }) => seen !== undefined && looked);
      const known = new Set(toFill.length > 0 ? await fillGaps(toFill) : []);
      for (const gap of toFill) if (!known.has(gap)) now.delete(gap.stream);
      const later = new Map([...open].filter(([stream]) => !now.has(stream)));
      for (const trouble of now.values()) trouble.looked = true;
      open = new Map([...later, ...(await attempt(now))]);
    }
    outcomes.add(events.length, { ...labels, outcome: 'settled' });
  };
}
