/** Makes states of events, and events of commands. */
import { type EventCase, NewerEvent } from '@caudal/contract/entity.ts';
import { encodeMetadata, metadataOf } from '@caudal/eventlog/codec.ts';
import type { Append, NewEvent, RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type ClaimView, type KnownClaims, openClaimView, remembered } from './claims.ts';
import type { Answer, AnyDecider, AnyUnit, DecidedPart, Sent, State } from './entry.ts';
import { formerAfter } from './former-claims.ts';

/**
 * The state after one more event. Throws if the event is not the next one, or can't be decoded. UNAVAILABLE
 * NEWER_VERSION_NEEDED if only a newer version of Caudal knows the event: this process has no state to decide on, a
 * newer process may have one.
 */
export function apply(decider: AnyDecider, before: State, recorded: RecordedEvent): State {
  const { stream, version } = recorded;
  if (version !== before.version + 1)
    throw new Error(`${stream}: got event ${version} where ${before.version + 1} is next`);
  const { occurredMillis, claimed } = metadataOf(recorded);
  return { ...next(decider, before, decode(decider, recorded), new Date(Number(occurredMillis)), claimed), version };
}

/** The state after an event, without its version. */
function next(
  decider: AnyDecider,
  before: State,
  event: EventCase,
  at: Date,
  claimed: boolean,
): Omit<State, 'version'> {
  const state = evolve(decider, before.state, event, at);
  if (!decider.claims) return { state };
  return { state, former: formerAfter(decider.claims, before.former, event, at, claimed) };
}

/** The state after an event. Throws if `evolve` gives none: after a forgotten case there is no state to decide on. */
function evolve(decider: AnyDecider, before: unknown, event: EventCase, at: Date): unknown {
  const state = decider.evolve(before, event, at);
  if (state === undefined) throw new Error(`${decider.entity.name}: evolve gives no state for "${event.$case}"`);
  return state;
}

function decode({ entity, keepSealed }: AnyDecider, recorded: RecordedEvent): EventCase {
  try {
    return entity.decode(recorded, { keepSealed });
  } catch (cause) {
    if (!(cause instanceof NewerEvent)) throw cause;
    const { stream, version, type } = recorded;
    const message = `${stream} has an event of a newer version of Caudal. Nothing was done; try again.`;
    throw new CaudalError('UNAVAILABLE', 'NEWER_VERSION_NEEDED', message, {
      cause,
      retryAfterMs: 1_000,
      metadata: { stream, version: String(version), type },
    });
  }
}

/** The state after these events. */
export function fold(decider: AnyDecider, before: State, events: RecordedEvent[]): State {
  return events.reduce((state, event) => apply(decider, state, event), before);
}

/** A decided command that was not sent yet. */
export type Decision = Pick<Sent, 'append' | 'answer'> & { parts: DecidedPart[] };

/** A stream that a command is decided on. */
export interface DecidedOn {
  stream: string;
  before: State;
  known: KnownClaims;
}

const nothingRecorded: DecidedPart['recorded'] = new Map();
const noEvents: NewEvent[][] = [];

/**
 * Decides a command on the states of its streams. A refusal becomes an append without events: its result shows whether the
 * streams are still at the versions that the refusal was decided on, whether the command had succeeded before, and whether the
 * ids that it takes for absent are. What is looked up before a decision becomes such an append, too.
 */
export function decide(unit: AnyUnit, on: DecidedOn[], { clock, ids }: { clock: Clock; ids: IdSource }): Decision {
  const { commandId, replyCodec } = unit;
  const replyType = replyCodec.personalType;
  // With the type also where no answer is stored: the log may know one of an earlier run.
  const command = commandId && (replyType === undefined ? commandId : { ...commandId, replyType });
  const now = clock();
  const views: ClaimView[] = on.map(({ stream, before, known }, n) =>
    openClaimView(stream, unit.parts[n]!.decider, before, known, now),
  );
  let answer: Answer;
  try {
    const events = decideOn(unit, on, views, now);
    if (!views.some(mustLook)) {
      const parts = on.map(({ before }, n) => partAfter(unit.parts[n]!.decider, before, events[n]!, now));
      const reply = unit.reply(
        parts.map(({ after: { state, version }, recorded }, n) => {
          return { state, version, claim: views[n]!.claimAfter(recorded) };
        }),
      );
      const encoded = events.map((some, n) => encodeEvents(unit, unit.parts[n]!.decider, some, now, ids));
      const stored = command && { ...command, reply: replyCodec.encode(reply).finish() };
      return { append: appendOf(on, views, parts, encoded, stored), answer: { kind: 'reply', reply }, parts };
    }
    answer = { kind: 'look' };
  } catch (error) {
    answer = views.some(mustLook) ? { kind: 'look' } : { kind: 'refusal', error };
  }
  const parts = on.map(({ before }) => ({ before, after: before, recorded: nothingRecorded }));
  return { append: appendOf(on, views, parts, noEvents, command), answer, parts };
}

const mustLook = (view: ClaimView) => view.mustLook();

/** The events of each stream. */
function decideOn({ parts, decide }: AnyUnit, on: DecidedOn[], views: ClaimView[], now: Date): EventCase[][] {
  on.forEach(({ before }, n) => {
    const { decider, authorize } = parts[n]!;
    authorize?.(decider.owner?.(before.state));
  });
  const events = decide(
    on.map(({ before: { state, version } }, n) => {
      const { claim, lookUp } = views[n]!;
      return { state, now, version, claim, lookUp };
    }),
  );
  if (events.length !== on.length)
    throw new Error(`A unit of ${on.length} streams was decided for ${events.length}: return the events of each`);
  return events;
}

function partAfter(decider: AnyDecider, before: State, events: EventCase[], now: Date): DecidedPart {
  let after = before;
  for (const event of events) after = { ...next(decider, after, event, now, true), version: after.version + 1 };
  return { before, after, recorded: remembered(decider.claims, events) };
}

function encodeEvents(
  { origin }: AnyUnit,
  { entity, claims }: AnyDecider,
  events: EventCase[],
  now: Date,
  ids: IdSource,
): NewEvent[] {
  if (events.length === 0) return [];
  const metadata = encodeMetadata(origin, now, claims !== undefined);
  return events.map((event) => ({ ...entity.encode(event), eventId: ids(), metadata }));
}

function appendOf(
  on: DecidedOn[],
  views: ClaimView[],
  parts: DecidedPart[],
  events: NewEvent[][],
  command: Append['command'],
): Append {
  const partOf = (n: number) => ({
    stream: on[n]!.stream,
    expected: on[n]!.before.version,
    events: events[n] ?? [],
  });
  const append: Append = { ...partOf(0), command };
  for (let n = 1; n < on.length; n++) {
    append.also ??= [];
    append.also.push(partOf(n));
  }
  const claims = views.flatMap((view, n) => view.claims(parts[n]!.recorded));
  if (claims.length > 0) append.claims = claims;
  return append;
}
