/** What results mean for a stream's queue and its durable state: the parts of queue.ts that keep nothing. */
import type { StreamConflict } from '@caudal/eventlog/types.ts';
import { hasLanded, ofFormerEra } from './answers.ts';
import type { Entry, Job, Sent, SentPart, State } from './entry.ts';
import { fold } from './fold.ts';

/** The longest chain: enough for several calls of the log, and not too much to decide again. */
export const maxInFlight = 256;

/** These commands wait again, before those that were received after them. */
export function putBack(entry: Entry, again: Job[]): void {
  if (again.length === 0) return;
  entry.waiting = new Set([...again, ...entry.waiting].sort((a, b) => a.number - b.number));
}

/** Whether nothing has landed, and the command can be decided again. */
export function mayReturn(sent: Sent): boolean {
  const { kind } = sent.outcome!;
  if (sent.job.done) return false;
  return kind === 'claimed' || kind === 'outdated' || (kind === 'conflict' && !hasLanded(sent));
}

/** What a conflict says of the part's stream. */
export function conflictOf({ sent: { outcome }, place }: SentPart): StreamConflict | undefined {
  if (outcome?.kind !== 'conflict') return undefined;
  return place === 0 ? outcome : outcome.also![place - 1];
}

/**
 * Whether another process has written to the stream, or has taken from it. Own commands behind a unit that was refused because
 * of another stream may have landed.
 */
export function isOvertaken({ durable }: Entry, { before }: SentPart, { version }: StreamConflict): boolean {
  return version < before.version || version > Math.max(before.version, durable?.version ?? 0);
}

/** The log has confirmed the state. */
export function moveOn(entry: Entry, state: State): void {
  if (!entry.durable || entry.durable.version <= state.version) entry.durable = state;
}

/** Moves the durable state on by the events of a conflict. */
export function catchUp(entry: Entry, { before }: SentPart, { version, missing }: StreamConflict): void {
  const { durable } = entry;
  // A log that is behind what it had confirmed was restored from an older copy: the durable state is void.
  if (version < before.version || !durable) {
    entry.durable = undefined;
    return;
  }
  try {
    const events = missing.filter((event) => event.version > durable.version);
    entry.durable = fold(entry.decider, durable, events);
    entry.latestKnown = Math.max(entry.latestKnown, version);
  } catch {
    // Not the next events, or not readable: read the stream again. If that fails, the waiting commands get the error.
    entry.durable = undefined;
  }
}

/**
 * Drops what is known of the stream: the log may have lost it. What is in flight has an outcome of its own; nothing is decided
 * on the states in between.
 */
export function forget(entry: Entry): void {
  delete entry.durable;
  entry.latestKnown = 0;
  entry.snapshotVersion = 0;
  entry.snapshotOfOther = false;
  entry.stale = false;
  for (const job of [...entry.waiting, ...entry.inFlight.map(({ sent }) => sent.job)]) {
    delete job.known;
    job.claimed = 0;
  }
  for (const { sent } of entry.inFlight) if (sent.outcome) sent.outcome = ofFormerEra(sent, sent.outcome);
  if (entry.inFlight.length > 0) entry.broken = true;
}

/** Whether a unit reads the stream before it joins the queue: it is not in memory, or idle and maybe `shared` with others. */
export function isOutdated(shared: boolean) {
  return ({ durable, inFlight, waiting }: Entry): boolean =>
    inFlight.length === 0 && (!durable || (shared && waiting.size === 0));
}

/** Idle streams of the units that wait for this one, as far as they can be decided in one go. */
export function idleBeside(entry: Entry): Entry[] {
  const idle = new Set<Entry>();
  for (const { entries } of [...entry.waiting].slice(0, maxInFlight))
    for (const other of entries) if (other !== entry && other.inFlight.length === 0 && !other.loading) idle.add(other);
  return [...idle];
}
