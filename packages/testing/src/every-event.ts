/**
 * Checks that projections, aggregates and saga handlers accept every event of the contract in any state, and that an
 * event which only a newer version knows changes nothing. The result is a list of faults, one line each.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Decider } from '@caudal/aggregates/types.ts';
import { type Entity, type EventCase, NewerEvent } from '@caudal/contract/entity.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { type Followed, followEvent } from '@caudal/projections/events.ts';
import { foldHistory, foldView } from '@caudal/projections/fold.ts';
import type { StoredDocument } from '@caudal/projections/stores/store.ts';
import { deleted, type Projection } from '@caudal/projections/types.ts';
import { sampleEvents, unknownCase, unknownEncoded } from './sample-events.ts';
import { seenBy } from './seen-by.ts';

const id = 'any';
const at = new Date('2026-01-01T00:00:00Z');
const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };

/** An event as it is in the log. */
export function recordedAt<E extends EventCase>(
  entity: Entity<E>,
  stream: string,
  version: number,
  event: E,
): RecordedEvent {
  return { ...newEvent({ entity, event, origin, now: at }), stream, version, position: version, recordedAt: at };
}

/** An event of a newer version, as it is in the log. */
export function unknownRecorded(entity: Entity, stream: string, version: number): RecordedEvent {
  const { eventId, metadata } = newEvent({
    entity: { ...entity, encode: () => unknownEncoded(entity) },
    event: unknownCase,
    origin,
    now: at,
  });
  return { eventId, metadata, ...unknownEncoded(entity), stream, version, position: version, recordedAt: at };
}

/** The faults of a projection with events of the entities that it follows. */
export function projectionFaults<V>(projection: Projection<V>): string[] {
  const faults = new Set<string>();
  const fold = projection.kind === 'one-per-event' ? foldHistory<V> : foldView<V>;
  const samples = new Map(projection.follows.map(({ entity }) => [entity, sampleEvents(entity)]));

  /** The document after one more event of an entity. After a fault, which is recorded, the document is unchanged. */
  function after(before: StoredDocument | undefined, entity: Entity, event: EventCase): StoredDocument | undefined {
    const isKnown = event !== unknownCase;
    const fault = (what: string) =>
      faults.add(
        `${projection.name}: ${entity.name} ${event.$case} ${before?.view ? 'on a view' : 'without a view'} ${what}`,
      );
    try {
      const followed = follow(entity, event, (before?.streams[entity.stream(id)] ?? 0) + 1);
      if (followed?.view === undefined) return before;
      const { entries, write, unfinished } = fold(projection, followed.view, before, [followed]);
      for (const one of unfinished) fault(`fails: ${one.kind === 'failed' ? one.error : one.kind}`);
      if (!write) return before;
      const view = before?.view === undefined ? undefined : projection.codec.fromJSON(before.view);
      const saysDeleted = followed.follow.evolve(view, followed.projected) === deleted;
      if (before?.view !== undefined && write.view === undefined && !saysDeleted)
        fault('deletes it without returning `deleted`');
      if (!isKnown && (entries.length > 0 || !isDeepStrictEqual(plain(write.view), plain(before?.view))))
        fault('changes it, although this version does not know the event');
      return { id: write.id, revision: write.revision, streams: write.streams, view: plain(write.view) };
    } catch (error) {
      fault(`fails: ${error}`);
      return before;
    }
  }

  function follow(entity: Entity, event: EventCase, version: number): Followed<V> | undefined {
    const known = event === unknownCase ? samples.get(entity)![0]! : event;
    const followed = followEvent(projection, recordedAt(entity, entity.stream(id), version, known));
    if (!followed || event !== unknownCase) return followed;
    // The decoder would refuse the event. Code that is older than its contract gets it like this.
    const projected = { ...followed.projected, event };
    const view = followed.follow.view(projected);
    return { ...followed, projected, view: view === undefined ? undefined : followed.view };
  }

  const all = [...samples].flatMap(([entity, known]) => [...known, unknownCase].map((event) => ({ entity, event })));
  const states = new Set<StoredDocument | undefined>([undefined]);
  // States: after each event alone, and after each prefix of all events, forwards and backwards.
  for (const { entity, event } of all) states.add(after(undefined, entity, event));
  for (const order of [all, all.toReversed()]) {
    let document: StoredDocument | undefined;
    for (const { entity, event } of order) {
      document = after(document, entity, event);
      states.add(document);
    }
  }
  for (const state of states) for (const { entity, event } of all) after(state, entity, event);
  return [...faults];
}

/** The view as a store returns it. */
function plain(view: unknown): unknown {
  return view === undefined ? undefined : JSON.parse(JSON.stringify(view));
}

/** The faults of a decider: with each event of its entity alone, and with all of them, forwards and backwards. */
export function deciderFaults<S, E extends EventCase>(decider: Decider<S, E>): string[] {
  const faults = new Set<string>();
  const after = (before: S, event: E): S => {
    try {
      const state = decider.evolve(before, event, at);
      if (state !== undefined) return state;
      faults.add(`${decider.entity.name}: ${event.$case} leaves no state`);
    } catch (error) {
      faults.add(`${decider.entity.name}: ${event.$case} fails: ${error}`);
    }
    return before;
  };
  const all = sampleEvents(decider.entity);
  const states = all.map((event) => after(decider.initial, event));
  for (const order of [all, all.toReversed()]) order.reduce(after, decider.initial);
  for (const state of states) for (const event of all) after(state, event);
  return [...faults];
}

export interface HandlerFaultsOptions {
  handler: EventHandler;
  entities: readonly Entity[];
  /** Called with events before the handler gets them, to append them to its log. */
  append(events: RecordedEvent[]): Promise<void>;
}

/**
 * The faults of a saga's handler with events of the entities that it observes. An event that only a newer version knows
 * must fail and stay unseen, so that a process of that version reacts to it.
 */
export async function handlerFaults({ handler, entities, append }: HandlerFaultsOptions): Promise<string[]> {
  const faults: string[] = [];
  const give = async (events: RecordedEvent[]) => {
    await append(events);
    return handler.handle(events);
  };
  for (const entity of entities.filter(({ name }) => handler.entities.includes(name))) {
    const samples = sampleEvents(entity);
    // Ids of its own, since a saga that observes its own state appends to these streams.
    const streamOf = (place: string) => entity.stream(`${handler.name}-${place}`);
    const inOneStream = (place: string, events: EventCase[]) =>
      events.map((event, index) => recordedAt(entity, streamOf(place), index + 1, event));
    const alone = samples.flatMap((event, index) => inOneStream(`alone-${index}`, [event]));
    const together = inOneStream('together', samples);
    const backwards = inOneStream('backwards', samples.toReversed());
    for (const events of [alone, together, backwards]) {
      for (const one of await give(events)) {
        const event = one.kind === 'failed' ? one.event.type : one.stream;
        faults.push(`${handler.name}: ${event} fails: ${one.kind === 'failed' ? one.error : one.kind}`);
      }
      const seen = await seenBy(handler, events);
      events.forEach(({ type, version }, index) => {
        if (seen[index]! < version) faults.push(`${handler.name}: ${type} stays unseen`);
      });
    }
    const unknown = unknownRecorded(entity, streamOf('unknown'), 1);
    const unfinished = await give([unknown]);
    const isRefused = unfinished.some((one) => one.kind === 'failed' && one.error instanceof NewerEvent);
    if (!isRefused || (await seenBy(handler, [unknown]))[0] !== 0)
      faults.push(`${handler.name}: skips ${unknown.type}, which it does not know`);
  }
  return faults;
}
