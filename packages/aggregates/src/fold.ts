/** Makes states of events, and events of commands. */
import { type EventCase, NewerEvent } from '@caudal/contract/entity.ts';
import { encodeMetadata, metadataOf } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type KnownClaims, lookFirst, openClaimView, remembered } from './claims.ts';
import type { AnyCommand, AnyDecider, Sent, State } from './entry.ts';
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

function decode({ entity }: AnyDecider, recorded: RecordedEvent): EventCase {
  try {
    return entity.decode(recorded);
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

export type Decision = Omit<Sent, 'job' | 'era' | 'outcome'>;

/**
 * Decides a command on a state. A refusal becomes an empty append: its result shows whether the stream is still at the
 * version that the refusal was decided on, whether the command had succeeded before, and whether the ids that it takes
 * for absent are. What is looked up before a decision becomes an empty append, too.
 */
export function decide(
  stream: string,
  command: AnyCommand,
  before: State,
  known: KnownClaims,
  { clock, ids }: { clock: Clock; ids: IdSource },
): Decision {
  const { decider, commandId, origin } = command;
  const now = clock();
  const view = openClaimView(stream, decider, before, known, now);
  const claimsOf = (recorded: Decision['recorded']) => {
    const claims = view.claims(recorded);
    return claims.length > 0 && { claims };
  };
  try {
    command.authorize?.(decider.owner?.(before.state));
    const events = command.decide(before.state, {
      now,
      version: before.version,
      claim: view.claim,
      lookUp: view.lookUp,
    });
    const recorded = remembered(decider.claims, events);
    let after = before;
    for (const event of events) after = { ...next(decider, after, event, now, true), version: after.version + 1 };
    const { state, version } = after;
    const reply = command.reply({ state, version, claim: view.claimAfter(recorded) });
    const metadata = encodeMetadata(origin, now, decider.claims !== undefined);
    return {
      append: {
        stream,
        expected: before.version,
        events: events.map((event) => ({ ...decider.entity.encode(event), eventId: ids(), metadata })),
        command: commandId && { ...commandId, reply: command.replyCodec.encode(reply).finish() },
        ...claimsOf(recorded),
      },
      after,
      answer: { kind: 'reply', reply },
      recorded,
    };
  } catch (error) {
    const recorded = remembered(undefined, []);
    return {
      append: { stream, expected: before.version, events: [], command: commandId, ...claimsOf(recorded) },
      after: before,
      answer: error === lookFirst ? { kind: 'look' } : { kind: 'refusal', error },
      recorded,
    };
  }
}
