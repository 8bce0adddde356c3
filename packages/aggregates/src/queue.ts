/**
 * The queue of each stream: commands are decided one after the other in memory, yet share commits.
 *
 * The path of a command. It joins `waiting`. When it is the first, it is decided on the tip: the state after the last
 * command in flight, or the durable state if none is. Then it joins `inFlight`, and its append is sent to the log at
 * once, expecting the version of the tip. So the appends of a busy stream form a chain, and the log checks many of them
 * in one call. Every decision becomes an append. A command that changes nothing sends an empty append, and so does a
 * refusal. Its result shows whether the stream is still at the version that was decided on, and whether the command's
 * id is known (the command's own first run may be the reason for the refusal). So each answer, refusals included, is
 * given only after the log has confirmed that the state it is based on is durable and current.
 *
 * Results are processed in order, from the head of `inFlight`:
 *
 *   appended    The durable state moves on to the state after the command. The caller gets the answer.
 *   duplicate   The caller gets the stored answer. The first run may have landed beyond the durable state.
 *   claimed     (Also the answer to a look-up that comes before the decision: see README, Claims.) An id that the command had taken for absent is known to the log, or a claim has changed since it was read.
 *               The command is decided again, with what the log has.
 *   reused      The caller gets REQUEST_ID_REUSED: the command id belongs to another request.
 *   failed      The log could not be reached. The append may have landed, may still land, or never lands. The caller
 *               gets the error and may repeat the command with its id. The queue can't decide it again: it might be
 *               done twice. The durable state is kept: all its events were confirmed.
 *   conflict    Another process has written. Nothing landed, so the command can be decided again.
 *   outdated    The log has gone on in another place, and may have lost what the command was decided on (docs/fail-over.md). It
 *               has not landed there. By then all states were dropped (`forget`), and the stream is broken. An `appended` that
 *               arrives after that is `failed`: it may be lost.
 *
 * All but `appended` (and a `duplicate`, `claimed`, `reused` or `failed` of an empty append) void the commands behind, which were
 * decided on a state that did not become durable. The log refuses them too (see `EventLog.append`). The stream is
 * `broken` from the first such result, wherever in the chain it is: nothing is decided until everything in flight has
 * its outcome. Then the optimistic states are dropped. The durable state takes the events that a conflict brought.
 * Callers whose outcome is certain are answered. The others return to the front of `waiting` in their order and are
 * decided again. A conflict that brings a command's own event is an `appended`: its answer was lost, and the append was
 * sent again. A command that loses too many races to other writers is ABORTED. Races lost for other reasons do not
 * count: each of those ends a command, so the queue moves. (The log may void a chain behind a repeat that had no
 * events, too.)
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
import { CaudalError, invalidField, unavailable } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { KnownClaims } from './claims.ts';
import { openContention } from './contention.ts';
import { type AnyCommand, type Entry, isIdle, type Job, type Outcome, type Sent } from './entry.ts';
import { decide, fold } from './fold.ts';
import type { Loader } from './loading.ts';
import { commandsInFlight, countCommand, redecisions } from './metrics.ts';
import type { Snapshots } from './snapshots.ts';
import type { Executed } from './types.ts';

/** The longest chain: enough for several calls of the log, and not too much to decide again. */
const maxInFlight = 256;
/** The same after a lost race: a few commands are decided quickly, and win the next race against a larger chain. */
const maxAfterLoss = 8;
/**
 * Streams that are decided in one turn of the event loop. Then their appends are sent, and checked while other streams
 * are decided. Without the bound, all commands that arrived together would wait for the slowest of them.
 */
const streamsATurn = 16;
const retryAfterMs = 100;

type Conflict = Extract<Outcome, { kind: 'conflict' }>;
type Claimed = Extract<Outcome, { kind: 'claimed' }>;
/** Those after which the command is not decided again for another writer, or another epoch of the log. */
type Concluded = Exclude<Outcome, Conflict | { kind: 'outdated' }>;

const nothingKnown: KnownClaims['fromLog'] = new Map();

export interface QueueOptions {
  log: EventLog;
  clock: Clock;
  ids: IdSource;
  /** Milliseconds of a clock that never goes back. */
  elapsed(): number;
  loader: Loader;
  snapshots: Snapshots;
  /** Commands in flight per stream. */
  maxQueue: number;
  /** Races that a command may lose to other writers. */
  maxContended: number;
  /** Called when the stream has become idle. */
  onIdle(entry: Entry): void;
}

export interface Queue {
  execute(entry: Entry, command: AnyCommand): Promise<Executed<unknown>>;
}

export function openQueue(options: QueueOptions): Queue {
  const { log, clock, ids, loader, snapshots, maxQueue, maxContended, onIdle } = options;
  const due = new Set<Entry>();
  let received = 0;
  const contention = openContention({ log, elapsed: options.elapsed, onLocked });

  function onLocked(entry: Entry): void {
    // The callers may have cancelled their commands while the lock was waited for.
    if (entry.waiting.size > 0) void read(entry);
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
    if (entry.loading || entry.broken || entry.waiting.size === 0) return false;
    if (!contention.mayDecide(entry)) return false;
    if (entry.inFlight.length === 0 && (!entry.durable || entry.durable.version < entry.latestKnown)) {
      void read(entry);
      return false;
    }
    const most = entry.overtaken ? maxAfterLoss : maxInFlight;
    for (const job of entry.waiting) {
      if (entry.inFlight.length >= most) break;
      entry.waiting.delete(job);
      send(entry, job);
    }
    return true;
  }

  async function read(entry: Entry): Promise<void> {
    entry.loading = true;
    try {
      await loader.load(entry);
      entry.latestKnown = 0;
    } catch (error) {
      for (const job of entry.waiting) job.reject(error);
      entry.waiting.clear();
    }
    entry.loading = false;
    schedule(entry);
  }

  function send(entry: Entry, job: Job): void {
    const tip = entry.inFlight.at(-1)?.after ?? entry.durable!;
    const known = { inFlight: entry.recording, fromLog: job.known ?? nothingKnown };
    const { era } = entry;
    const sent: Sent = { job, era, ...decide(entry.stream, job.command, tip, known, { clock, ids }) };
    entry.inFlight.push(sent);
    for (const [id, one] of sent.recorded) entry.recording.set(id, one);
    const judged = (outcome: Outcome) => {
      sent.outcome = entry.era === era ? outcome : ofFormerEra(outcome);
      entry.broken ||= voidsWhatFollows(sent, sent.outcome);
      workOff(entry);
    };
    log.append(sent.append).then(judged, (error) => judged({ kind: 'failed', error }));
  }

  function workOff(entry: Entry): void {
    const again: Job[] = [];
    for (let sent = entry.inFlight[0]; sent; sent = entry.inFlight[0]) {
      const { outcome } = sent;
      if (!outcome || outcome.kind === 'conflict' || outcome.kind === 'outdated' || voidsWhatFollows(sent, outcome))
        break;
      entry.inFlight.shift();
      for (const [id, one] of sent.recorded) if (entry.recording.get(id) === one) entry.recording.delete(id);
      if (outcome.kind === 'appended') {
        entry.durable = sent.after;
        entry.overtaken = false;
      }
      if (conclude(entry, sent, outcome)) again.push(sent.job);
    }
    putBack(entry, again);
    // After the answers, since encoding a large state takes time.
    snapshots.offer(entry);
    if (entry.broken && entry.inFlight.every(({ outcome }) => outcome)) recover(entry);
    schedule(entry);
  }

  /** All in flight have their outcome, and the head of the chain is the one that broke it. */
  function recover(entry: Entry): void {
    const voided = entry.inFlight;
    entry.inFlight = [];
    entry.recording.clear();
    entry.broken = false;
    // None is left if the states were dropped while only appends without events were in flight.
    const head = voided[0]?.outcome;
    const overtaken = head?.kind === 'conflict' && head.version !== entry.durable?.version;
    if (head?.kind === 'conflict') catchUp(entry, head);
    entry.overtaken = overtaken;

    const again: Job[] = [];
    for (const sent of voided) {
      const { job } = sent;
      const outcome = sent.outcome!;
      if (outcome.kind === 'outdated') again.push(job);
      else if (outcome.kind !== 'conflict') {
        if (conclude(entry, sent, outcome)) again.push(job);
      } else if (hasLanded(sent, outcome)) reply(entry, sent);
      else if (overtaken && ++job.contended > maxContended) job.reject(contended(entry.stream));
      else again.push(job);
    }
    putBack(entry, again);
    if (overtaken && again[0]) contention.lost(entry, again[0].contended);
  }

  /** Answers the caller, or notes what the log knows of the command's ids. Whether the command is to be decided again. */
  function conclude(entry: Entry, sent: Sent, outcome: Concluded): boolean {
    if (outcome.kind === 'claimed') return learn(entry, sent, outcome);
    if (outcome.kind === 'appended' && sent.answer.kind === 'look') {
      sent.job.known ??= new Map();
      for (const { id } of sent.append.claims!) if (!sent.job.known.has(id)) sent.job.known.set(id, 'absent');
      return true;
    }
    answer(entry, sent, outcome);
    return false;
  }

  /** Notes claims that are not as expected. Whether the command may be decided again. */
  function learn(entry: Entry, { job, append }: Sent, { claims }: Claimed): boolean {
    job.known ??= new Map();
    for (const claim of claims) job.known.set(append.claims![claim.place]!.id, claim);
    if (++job.claimed <= maxContended) return true;
    job.reject(contended(entry.stream));
    return false;
  }

  /** These commands are decided again, before those that were received after them. */
  function putBack(entry: Entry, again: Job[]): void {
    if (again.length === 0) return;
    redecisions.add(again.length, { entity: entry.decider.entity.name });
    entry.waiting = new Set([...again, ...entry.waiting].sort((a, b) => a.number - b.number));
    for (const job of again) if (job.command.signal?.aborted) abort(entry, job);
  }

  function abort(entry: Entry, job: Job): void {
    if (!entry.waiting.delete(job)) return;
    job.reject(cancelled(job.command.signal!));
    schedule(entry);
  }

  return {
    execute(entry, command) {
      const { signal, decider } = command;
      const { name } = decider.entity;
      const { promise, resolve, reject } = Promise.withResolvers<Executed<unknown>>();
      const onAbort = () => abort(entry, job);
      const end = () => {
        signal?.removeEventListener('abort', onAbort);
        commandsInFlight.add(-1);
      };
      const job: Job = {
        command,
        number: received++,
        contended: 0,
        claimed: 0,
        resolve(executed) {
          end();
          countCommand(name, executed.repeated ? 'repeated' : 'done');
          resolve(executed);
        },
        reject(error) {
          end();
          countCommand(name, { error });
          reject(error);
        },
      };
      commandsInFlight.add(1);
      if (signal?.aborted) job.reject(cancelled(signal));
      else if (entry.waiting.size + entry.inFlight.length >= maxQueue) job.reject(queueFull(entry.stream));
      else {
        signal?.addEventListener('abort', onAbort, { once: true });
        entry.waiting.add(job);
      }
      schedule(entry);
      return promise;
    },
  };
}

/** Whether the commands behind this one were decided on a state that did not become durable. */
function voidsWhatFollows({ append }: Sent, { kind }: Outcome): boolean {
  return kind === 'conflict' || kind === 'outdated' || (kind !== 'appended' && append.events.length > 0);
}

/** An outcome that arrives after the states were dropped: the log may have lost what it tells of. */
function ofFormerEra(outcome: Outcome): Outcome {
  if (outcome.kind === 'appended') {
    const error = unavailable(
      'PostgreSQL',
      new Error('The log has gone on in another place. What was written may be lost.'),
    );
    return { kind: 'failed', error };
  }
  return outcome.kind === 'conflict' || outcome.kind === 'claimed' ? { kind: 'outdated' } : outcome;
}

/** Whether the first event that the append lacked is its own: the append had landed, and was sent again. */
function hasLanded({ append }: Sent, { missing }: Conflict): boolean {
  const own = append.events[0]?.eventId;
  return own !== undefined && missing[0]?.eventId === own;
}

/** Moves the durable state on by the events of a conflict. */
function catchUp(entry: Entry, { version, missing }: Conflict): void {
  try {
    // A log that is behind what it had confirmed was restored from an older copy: the durable state is void.
    entry.durable = version < entry.durable!.version ? undefined : fold(entry.decider, entry.durable!, missing);
    entry.latestKnown = Math.max(entry.latestKnown, version);
  } catch {
    // Not the next events, or not readable: read the stream again. If that fails, the waiting commands get the error.
    entry.durable = undefined;
  }
}

function answer(entry: Entry, sent: Sent, outcome: Exclude<Concluded, Claimed>): void {
  const { job } = sent;
  if (outcome.kind === 'appended') {
    reply(entry, sent);
  } else if (outcome.kind === 'duplicate') {
    repeat(job, outcome);
  } else if (outcome.kind === 'reused') {
    const description = 'was used before for another request; take a new id for a new request';
    job.reject(invalidField('request_id', description, 'REQUEST_ID_REUSED'));
  } else {
    job.reject(outcome.error);
  }
}

function reply(entry: Entry, { job, answer, after }: Sent): void {
  if (answer.kind === 'refusal') job.reject(answer.error);
  else if (answer.kind === 'reply')
    job.resolve({ reply: answer.reply, stream: entry.stream, version: after.version, repeated: false });
}

function repeat({ command, resolve, reject }: Job, known: Extract<Outcome, { kind: 'duplicate' }>): void {
  try {
    const { stream, version } = known;
    resolve({ reply: command.replyCodec.decode(known.reply), stream, version, repeated: true });
  } catch (error) {
    reject(error);
  }
}

function contended(stream: string): CaudalError {
  const message = 'Too many other processes write to the same resource at the moment. Nothing was done; try again.';
  return new CaudalError('ABORTED', 'STREAM_CONTENDED', message, { retryAfterMs, metadata: { stream } });
}

function queueFull(stream: string): CaudalError {
  const message = 'Too many commands wait for the same resource. Nothing was done; try again later.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'STREAM_QUEUE_FULL', message, { retryAfterMs, metadata: { stream } });
}

function cancelled(signal: AbortSignal): unknown {
  if (signal.reason instanceof CaudalError) return signal.reason;
  return new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller cancelled the command.', { cause: signal.reason });
}
