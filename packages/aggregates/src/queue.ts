/**
 * The queue of each stream: commands are decided one after the other in memory, yet share commits. A command over several
 * streams (a unit, docs/units.md) goes through the queues of all of them at once; one of a single stream is a unit of one.
 *
 * The path of a command. It joins `waiting`. When it is the first, it is decided on the tip: the state after the last
 * command in flight, or the durable state if none is. Then it joins `inFlight`, and its append is sent to the log at
 * once, expecting the version of the tip. So the appends of a busy stream form a chain, and the log checks many of them
 * in one call. Every decision becomes an append. A command that changes nothing sends an empty append, and so does a
 * refusal. Its result shows whether the stream is still at the version that was decided on, and whether the command's
 * id is known (the command's own first run may be the reason for the refusal). So each answer, refusals included, is
 * given only after the log has confirmed that the state it is based on is durable and current.
 *
 * A unit gets its number after those of its streams that are not in memory were read. It waits in the queue of its first stream, and
 * joins the others when it is first there (joining.ts). Each queue is in the order of the numbers. A unit is decided when it is first
 * in all its queues; what is behind it waits. The one with the smallest number is first wherever it is, so no two units wait for each other.
 *
 * Results:
 *
 *   appended    The durable state moves on to the state after the command. The caller gets the answer.
 *   duplicate   The caller gets the stored answer. The first run may have landed beyond the durable state.
 *   claimed     (Also the answer to a look-up that comes before the decision: see README, Claims.) An id that the command had
 *               taken for absent is known to the log, or a claim has changed since it was read. The command is decided again,
 *               with what the log has.
 *   reused      The caller gets REQUEST_ID_REUSED: the command id belongs to another request.
 *   failed      The log could not be reached. The append may have landed, may still land, or never lands. The caller
 *               gets the error and may repeat the command with its id. The queue can't decide it again: it might be
 *               done twice. The durable state is kept: all its events were confirmed.
 *   conflict    Another process has written. Nothing landed, so the command can be decided again.
 *   outdated    The log has gone on in another place, and may have lost what the command was decided on (docs/fail-over.md). It
 *               has not landed there, and is decided again. By then all states were dropped (`forget`), and the queues broken. An
 *               outcome that comes after that counts as what `ofFormerEra` makes of it.
 *
 * All but `appended` (and a `duplicate`, `claimed`, `reused` or `failed` of an append without events) void the commands behind,
 * which were decided on a state that did not become durable. The log refuses them too (see `EventLog.append`). All queues of the
 * command are `broken` from such a result on, wherever it is in them: nothing is decided there until everything in flight has
 * its outcome. Then a queue recovers: the optimistic states are dropped. The durable state takes the events that a conflict
 * brought. Commands that are to be decided again return to `waiting` in their order. A unit is concluded, its caller answered
 * or the command free to be decided again, once all its queues have recovered. Until then it keeps its place in those that
 * have, so that nothing overtakes it. A conflict that brings a command's own event is an `appended`: its answer was lost, and the
 * append was sent again. A command that loses too many races to other writers is ABORTED. Races lost for other reasons do not
 * count: each of those ends a command, so the queue moves.
 *
 * Other results are processed as they arrive. An `appended` can be behind one that broke the queue: a unit that is refused because
 * of another stream, and has no events for this one. The log has confirmed its state.
 *
 * The durable state may be behind the log, also after a duplicate or a failure. Then the next append is a conflict and
 * brings the missing events. The stream is read only if there is no durable state, or if a conflict named a later
 * version than its events reach (`latestKnown`). If the read fails, all waiting commands fail.
 *
 * Decisions are made in a turn of the event loop of their own (`setImmediate`). By then the queue has processed every
 * result that the log has given. So an append is never chained to one that the log has already voided and the queue has
 * not: the log could no longer detect that the new append relies on it.
 *
 * Rejected: one append in flight per stream, with all commands of a turn combined in it. It needs no optimistic state,
 * but a busy stream then misses the call that leaves as soon as its last result arrives, which halves its rate.
 */
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import {
  type Concluded,
  cancelled,
  conclude,
  contended,
  hasLanded,
  ofFormerEra,
  queueFull,
  reply,
  voidsWhatFollows,
} from './answers.ts';
import type { KnownClaims } from './claims.ts';
import { openContention } from './contention.ts';
import type { AnyUnit, Entry, Era, Job, Outcome, Sent, SentPart } from './entry.ts';
import { isIdle } from './entry.ts';
import { decide } from './fold.ts';
import { handOverTo } from './hand-over.ts';
import { newJob } from './jobs.ts';
import { join, joinOthers, leaveQueues } from './joining.ts';
import type { Loader } from './loading.ts';
import { redecisions } from './metrics.ts';
import type { Owners } from './owners.ts';
import {
  catchUp,
  conflictOf,
  idleBeside,
  isOutdated,
  isOvertaken,
  maxInFlight,
  mayReturn,
  moveOn,
  putBack,
} from './recovery.ts';
import type { Snapshots } from './snapshots.ts';
import type { ExecutedUnit } from './types.ts';

/** The same after a lost race: a few commands are decided quickly, and win the next race against a larger chain. */
const maxAfterLoss = 8;
/**
 * Streams that are decided in one turn of the event loop. Then their appends are sent, and checked while other streams
 * are decided. Without the bound, all commands that arrived together would wait for the slowest of them.
 */
const streamsATurn = 16;
/**
 * After a unit was refused since another process had written to one of its streams, for this long units read their idle
 * streams before they join. Otherwise the state of a stream that another process has used last is found outdated by the append, and all
 * that was decided behind it on the unit's busy streams is void.
 */
const sharedMs = 10_000;

const nothingKnown: KnownClaims['fromLog'] = new Map();

export interface QueueOptions {
  log: EventLog;
  clock: Clock;
  ids: IdSource;
  /** Milliseconds of a clock that never goes back. */
  elapsed(): number;
  loader: Loader;
  snapshots: Snapshots;
  /** That of the process. It rises when all that its streams' entries know was dropped (`forget`). */
  era: Era;
  /** Absent in a process that no other one can reach. */
  owners?: Owners;
  /** Commands in flight per stream. */
  maxQueue: number;
  /** Races that a command may lose to other writers. */
  maxContended: number;
  /** Called when the stream has become idle. */
  onIdle(entry: Entry): void;
}

export interface Queue {
  /** `entries`: those of the unit's parts, in their order. */
  execute(entries: Entry[], unit: AnyUnit): Promise<ExecutedUnit<unknown>>;
}

export function openQueue(options: QueueOptions): Queue {
  const { log, clock, ids, loader, snapshots, era, owners, maxQueue, maxContended, onIdle } = options;
  const due = new Set<Entry>();
  let received = 0;
  let sharedUntilMs = Number.NEGATIVE_INFINITY;
  /** What waits is handed over at once. */
  const onContended = (entry: Entry) => void owners?.contended(entry).then((elsewhere) => elsewhere && schedule(entry));
  const contention = openContention({ log, elapsed: options.elapsed, onLocked, onContended });
  const handOver = owners && handOverTo({ owners, schedule, leave, release: contention.release });

  function onLocked(entry: Entry): void {
    // The callers may have cancelled their commands while the lock was waited for.
    if (entry.waiting.size > 0) void read(entry, idleBeside(entry));
    else schedule(entry);
  }

  /** Processes the entry in a later turn of the event loop. */
  function schedule(entry: Entry): void {
    if (due.size === 0) setImmediate(turn);
    due.add(entry);
  }

  function turn(): void {
    let left = streamsATurn;
    for (const entry of due) {
      due.delete(entry);
      if (decideWaiting(entry)) left--;
      if (entry.waiting.size === 0 && entry.inFlight.length === 0) contention.release(entry);
      if (isIdle(entry)) onIdle(entry);
      if (left === 0) break;
    }
    if (due.size > 0) setImmediate(turn);
  }

  /** Decides the commands that may be decided; whether there were any. */
  function decideWaiting(entry: Entry): boolean {
    if (handOver && entry.waiting.size > 0 && !handOver.fromQueue(entry)) return false;
    let isReady = false;
    for (const job of entry.waiting) {
      if (job.entries.length > 1) {
        if (!mayDecideUnit(entry, job)) break;
      } else if (!isReady && !mayDecide(job.entries)) break;
      if (!hasRoom(entry)) break;
      isReady = true;
      send(job);
    }
    return isReady;
  }

  /** Whether commands of all these queues may be decided. If not, one of them is scheduled once that may have changed. */
  function mayDecide(entries: Entry[]): boolean {
    if (entries.some(({ loading, broken }) => loading || broken)) return false;
    if (!contention.mayDecide(entries)) return false;
    // All that must be read are read at the same time.
    return !entries.map(isCurrent).includes(false);
  }

  /** Whether the state can be decided on. If not, it is read. */
  function isCurrent(entry: Entry): boolean {
    const { inFlight, durable, latestKnown, stale } = entry;
    if (inFlight.length > 0 || (durable && !stale && durable.version >= latestKnown)) return true;
    void read(entry);
    return false;
  }

  /** The job is the first one that waits for the entry. */
  function mayDecideUnit(entry: Entry, job: Job): boolean {
    if (job.outside) {
      if (!hasRoom(entry) || !mayDecide([entry])) return false;
      joinOthers(job);
    }
    if (job.entries.some(({ waiting }) => waiting.values().next().value !== job)) {
      if (entry.inFlight.length === 0) contention.release(entry);
      return false;
    }
    return job.entries.every(hasRoom) && mayDecide(job.entries);
  }

  function hasRoom({ inFlight, overtaken }: Entry): boolean {
    return inFlight.length < (overtaken ? maxAfterLoss : maxInFlight);
  }

  /** Reads the stream's events; and those of `others`, whose units are decided after it. */
  async function read(entry: Entry, others: Entry[] = []): Promise<void> {
    entry.loading = true;
    // Reading the others is a hint: if one can't be read, its own queue finds that out.
    const beside = Promise.allSettled(others.map(loader.load));
    try {
      await loader.load(entry);
      entry.latestKnown = 0;
    } catch (error) {
      for (const job of [...entry.waiting]) {
        leave(job);
        job.reject(error);
      }
    }
    await beside;
    entry.loading = false;
    // The others too: their commands may have left meanwhile, and only a turn lets go of an idle stream.
    for (const each of [entry, ...others]) schedule(each);
  }

  /** Takes a command out of its queues. What was behind it may be decided. */
  function leave(job: Job): void {
    leaveQueues(job);
    for (const entry of job.entries) schedule(entry);
  }

  function send(job: Job): void {
    const { entries, unit } = job;
    const on = entries.map((entry, place) => ({
      stream: entry.stream,
      before: entry.inFlight.at(-1)?.after ?? entry.durable!,
      known: { inFlight: entry.recording, fromLog: job.known?.[place] ?? nothingKnown },
    }));
    // From here on it can't be cancelled.
    job.sent = true;
    const { parts, ...decided } = decide(unit, on, { clock, ids });
    const sent: Sent = { job, era: era.number, ...decided, parts: [], unrecovered: 0, overtaken: false };
    parts.forEach((decidedPart, place) => {
      const part: SentPart = { ...decidedPart, sent, place };
      const entry = entries[place]!;
      sent.parts.push(part);
      entry.waiting.delete(job);
      entry.inFlight.push(part);
      for (const [id, one] of part.recorded) entry.recording.set(id, one);
      // In its other queues the command may have been in the way of others.
      if (entries.length > 1) schedule(entry);
    });
    const judged = (result: Outcome) => {
      const outcome = sent.era === era.number ? result : ofFormerEra(sent, result);
      sent.outcome = outcome;
      if (voidsWhatFollows(sent, outcome)) breakQueues(sent);
      else finish(sent, outcome as Concluded);
      for (const entry of entries) {
        if (entry.broken && entry.inFlight.every((part) => part.sent.outcome)) recover(entry);
        schedule(entry);
      }
    };
    log.append(sent.append).then(judged, (error) => judged({ kind: 'failed', error }));
  }

  function breakQueues(sent: Sent): void {
    sent.unrecovered = sent.parts.length;
    for (const entry of sent.job.entries) entry.broken = true;
  }

  /** Takes a result over that voids nothing. */
  function finish(sent: Sent, outcome: Concluded): void {
    const { job } = sent;
    for (const part of sent.parts) {
      const entry = job.entries[part.place]!;
      if (entry.inFlight[0] === part) entry.inFlight.shift();
      else entry.inFlight.splice(entry.inFlight.indexOf(part), 1);
      for (const [id, one] of part.recorded) if (entry.recording.get(id) === one) entry.recording.delete(id);
      if (outcome.kind === 'appended') {
        moveOn(entry, part.after);
        entry.overtaken = false;
      }
    }
    if (conclude(sent, outcome, maxContended)) {
      for (const entry of job.entries) putBack(entry, [job]);
      decideAgain(job);
    }
    // After the answers, since encoding a large state takes time.
    for (const entry of job.entries) snapshots.offer(entry);
  }

  /** All in flight have their outcome, and the first one broke the queue. Or the states were dropped: then none may be left. */
  function recover(entry: Entry): void {
    const voided = entry.inFlight;
    entry.inFlight = [];
    entry.recording.clear();
    entry.broken = false;
    const head = voided[0];
    const conflict = head && conflictOf(head);
    const overtaken = conflict !== undefined && isOvertaken(entry, head!, conflict);
    if (conflict) catchUp(entry, head!, conflict);
    entry.overtaken = overtaken;
    if (overtaken && head!.sent.parts.length > 1) sharedUntilMs = options.elapsed() + sharedMs;

    const returned = voided.filter(({ sent }) => mayReturn(sent));
    putBack(
      entry,
      returned.map(({ sent }) => sent.job),
    );
    if (overtaken) for (const { sent, place } of returned) sent.job.lost[place]!++;
    for (const { sent } of voided) {
      sent.overtaken ||= overtaken;
      if (--sent.unrecovered === 0) endVoided(sent);
    }
    const first = returned.find(({ sent }) => entry.waiting.has(sent.job));
    if (overtaken && first) contention.lost(entry, first.sent.job.lost[first.place]!);
    snapshots.offer(entry);
  }

  /** All its queues have recovered: answers the caller, unless the command is decided again. */
  function endVoided(sent: Sent): void {
    const { job } = sent;
    const outcome = sent.outcome!;
    if (job.done) return;
    if (outcome.kind === 'outdated') decideAgain(job);
    else if (outcome.kind !== 'conflict') {
      if (conclude(sent, outcome, maxContended)) decideAgain(job);
      else leave(job);
    } else if (hasLanded(sent)) reply(sent);
    else if (sent.overtaken && ++job.contended > maxContended) {
      leave(job);
      job.reject(contended(job.entries[0]!.stream));
    } else decideAgain(job);
  }

  /** The command is free in all its queues. */
  function decideAgain(job: Job): void {
    job.sent = false;
    redecisions.add(1, { entity: job.unit.parts[0]!.decider.entity.name });
    if (job.unit.signal?.aborted) abort(job);
  }

  function abort(job: Job): void {
    if (job.sent || job.done) return;
    leave(job);
    job.reject(cancelled(job.unit.signal!));
  }

  /** Reads the streams that are not in memory, while other commands go on. */
  async function warm(job: Job, cold: Entry[]): Promise<void> {
    for (const entry of job.entries) entry.warming++;
    const reads = await Promise.allSettled(cold.map((entry) => entry.read ?? loader.load(entry)));
    const failed = reads.find((read) => read.status === 'rejected');
    if (failed && !job.done) job.reject(failed.reason);
    for (const entry of job.entries) {
      entry.warming--;
      schedule(entry);
    }
    if (!job.done) receive(job);
  }

  const receive = (job: Job) => join(job, received++, options.elapsed());

  return {
    execute(entries, unit) {
      const { signal } = unit;
      const onAbort = () => abort(job);
      const { job, answered } = newJob(entries, unit, () => signal?.removeEventListener('abort', onAbort));
      const full = entries.find((entry) => entry.waiting.size + entry.inFlight.length + entry.warming >= maxQueue);
      const isUnit = entries.length > 1;
      // Before its streams are read: its owner reads them.
      const owner = isUnit && unit.forwardable ? handOver?.ownerOfUnit(job) : undefined;
      const cold = isUnit ? entries.filter(isOutdated(options.elapsed() < sharedUntilMs)) : [];
      if (signal?.aborted) job.reject(cancelled(signal));
      else if (full) job.reject(queueFull(full.stream));
      else if (owner) job.reject(owner);
      else {
        signal?.addEventListener('abort', onAbort, { once: true });
        if (cold.length > 0) void warm(job, cold);
        else receive(job);
      }
      for (const entry of entries) schedule(entry);
      return answered;
    },
  };
}
