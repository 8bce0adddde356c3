/** What a command's caller gets, and what a result means for the commands behind it. */
import type { AppendResult } from '@caudal/eventlog/types.ts';
import { CaudalError, invalidField, unavailable } from '@caudal/kernel/errors.ts';
import type { FromLog, Job, Outcome, Sent } from './entry.ts';

const retryAfterMs = 100;

/** Whether the commands behind this one were decided on a state that did not become durable. */
export function voidsWhatFollows({ append }: Sent, { kind }: Outcome): boolean {
  if (kind === 'appended') return false;
  if (kind === 'conflict' || kind === 'outdated') return true;
  return append.events.length > 0 || (append.also ?? []).some(({ events }) => events.length > 0);
}

/** Whether the first event that a stream of the append lacked is its own: it had landed, and was sent again. */
export function hasLanded({ append, outcome }: Sent): boolean {
  if (outcome?.kind !== 'conflict') return false;
  const conflicts = [outcome, ...(outcome.also ?? [])];
  return [append, ...(append.also ?? [])].some(({ events }, place) => {
    const own = events[0]?.eventId;
    return own !== undefined && conflicts[place]?.missing[0]?.eventId === own;
  });
}

/**
 * What an outcome is worth once all states were dropped: the log may have lost what it tells of. What has landed may be in the log or
 * not, so it is not decided again.
 */
export function ofFormerEra(sent: Sent, outcome: Outcome): Outcome {
  const { kind } = outcome;
  if (kind === 'appended' || hasLanded({ ...sent, outcome })) {
    const cause = new Error('The log has gone on in another place. What was written may be lost.');
    return { kind: 'failed', error: unavailable('PostgreSQL', cause) };
  }
  return kind === 'conflict' || kind === 'claimed' ? { kind: 'outdated' } : outcome;
}

/** Those after which a command is not decided again for another writer, or another epoch of the log. */
export type Concluded = Exclude<Outcome, { kind: 'conflict' | 'outdated' }>;

/**
 * Answers the caller, or notes what the log knows of the command's ids. Whether the command is to be decided again: at most
 * `most` times for claims that were not as expected.
 */
export function conclude(sent: Sent, outcome: Concluded, most: number): boolean {
  const { job } = sent;
  if (outcome.kind === 'claimed') {
    noteClaims(sent, outcome);
    if (++job.claimed <= most) return true;
    job.reject(contended(job.entries[0]!.stream));
    return false;
  }
  if (outcome.kind === 'appended' && sent.answer.kind === 'look') {
    noteClaims(sent, outcome);
    return true;
  }
  answer(sent, outcome);
  return false;
}

/** Answers the caller of a command that is not decided again. */
function answer(sent: Sent, outcome: Exclude<Concluded, { kind: 'claimed' }>): void {
  const { job } = sent;
  if (outcome.kind === 'appended') {
    reply(sent);
  } else if (outcome.kind === 'duplicate') {
    repeat(job, outcome);
  } else if (outcome.kind === 'reused') {
    const description = 'was used before for another request; take a new id for a new request';
    job.reject(invalidField('request_id', description, 'REQUEST_ID_REUSED'));
  } else {
    job.reject(outcome.error);
  }
}

/** The command has landed. */
export function reply({ job, answer, parts }: Sent): void {
  if (answer.kind === 'refusal') job.reject(answer.error);
  else if (answer.kind === 'reply') {
    const streams = parts.map(({ after, place }) => ({ stream: job.entries[place]!.stream, version: after.version }));
    job.resolve({ reply: answer.reply, streams, repeated: false });
  }
}

function repeat({ unit, resolve, reject }: Job, known: Extract<AppendResult, { kind: 'duplicate' }>): void {
  try {
    const { stream, version } = known;
    resolve({ reply: unit.replyCodec.decode(known.reply), streams: [{ stream, version }], repeated: true });
  } catch (error) {
    reject(error);
  }
}

/** The refusal of a command that has lost too many races. */
export function contended(stream: string): CaudalError {
  const message = 'Too many other processes write to the same resource at the moment. Nothing was done; try again.';
  return new CaudalError('ABORTED', 'STREAM_CONTENDED', message, { retryAfterMs, metadata: { stream } });
}

/** The refusal of a command that a stream's queue has no place for. */
export function queueFull(stream: string): CaudalError {
  const message = 'Too many commands wait for the same resource. Nothing was done; try again later.';
  return new CaudalError('RESOURCE_EXHAUSTED', 'STREAM_QUEUE_FULL', message, { retryAfterMs, metadata: { stream } });
}

/** The error of a command that its caller has cancelled. */
export function cancelled(signal: AbortSignal): unknown {
  if (signal.reason instanceof CaudalError) return signal.reason;
  return new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller cancelled the command.', { cause: signal.reason });
}

/** Notes what the log knows of the claims that a command has asked for. What was looked up and is not found is absent. */
function noteClaims({ job, append, answer }: Sent, outcome: Extract<Outcome, { kind: 'claimed' | 'appended' }>): void {
  const found = outcome.kind === 'claimed' ? outcome.claims : [];
  for (const known of found) {
    const { scope, id } = append.claims![known.place]!;
    knownOf(job, scope).set(id, known);
  }
  if (answer.kind !== 'look') return;
  for (const { scope, id } of append.claims!) {
    const known = knownOf(job, scope);
    if (!known.has(id)) known.set(id, 'absent');
  }
}

/** What the log has answered about the claims of a stream. */
function knownOf(job: Job, stream: string): FromLog {
  job.known ??= job.entries.map(() => new Map());
  return job.known[job.entries.findIndex((entry) => entry.stream === stream)]!;
}
