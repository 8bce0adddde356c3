/** Makes states of events, and events of commands. */
import { type EventCase, NewerEvent } from '@caudal/contract/entity.ts';
import { encodeMetadata, occurredAt } from '@caudal/eventlog/codec.ts';
import type { Append, RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Answer, AnyCommand, AnyDecider, State } from './entry.ts';

/**
 * The state after one more event. Throws if the event is not the next one, or can't be decoded. UNAVAILABLE
 * NEWER_VERSION_NEEDED if only a newer version of Caudal knows the event: this process has no state to decide on, a
 * newer process may have one.
 */
export function apply(decider: AnyDecider, before: State, recorded: RecordedEvent, at = occurredAt(recorded)): State {
  const { stream, version } = recorded;
  if (version !== before.version + 1)
    throw new Error(`${stream}: got event ${version} where ${before.version + 1} is next`);
  return { state: evolve(decider, before.state, decode(decider, recorded), at), version };
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

export interface Decision {
  append: Append;
  after: State;
  answer: Answer;
}

/**
 * Decides a command on a state. A refusal becomes an empty append: its result shows whether the stream is still at the
 * version that the refusal was decided on, and whether the command had succeeded before.
 */
export function decide(
  stream: string,
  command: AnyCommand,
  before: State,
  { clock, ids }: { clock: Clock; ids: IdSource },
): Decision {
  const { decider, commandId, origin } = command;
  const now = clock();
  try {
    command.authorize?.(decider.owner?.(before.state));
    const events = command.decide(before.state, { now, version: before.version });
    const after = {
      state: events.reduce((state, event) => evolve(decider, state, event, now), before.state),
      version: before.version + events.length,
    };
    const reply = command.reply(after);
    const metadata = encodeMetadata(origin, now);
    return {
      append: {
        stream,
        expected: before.version,
        events: events.map((event) => ({ ...decider.entity.encode(event), eventId: ids(), metadata })),
        command: commandId && { ...commandId, reply: command.replyCodec.encode(reply).finish() },
      },
      after,
      answer: { kind: 'reply', reply },
    };
  } catch (error) {
    return {
      append: { stream, expected: before.version, events: [], command: commandId },
      after: before,
      answer: { kind: 'refusal', error },
    };
  }
}
