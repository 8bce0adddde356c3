/**
 * Folding the events of a log into views that gather from many streams: the pure part between reading and writing.
 *
 * Events are taken one by one, in the order given. An event that can't be handled ends the fold: it changes none of its
 * views, and nothing after it counts.
 */
import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { projectedEvent } from '../events.ts';
import { type Marks, marked } from '../stores/marks.ts';
import type { StoredDocument } from '../stores/store.ts';
import { deleted, ignored } from '../types.ts';
import type { Gather, GatheredEvent, MultiStreamProjection } from './types.ts';

/** What is known of a stream: its facts as they are after `version`. */
export interface Known {
  version: number;
  facts: unknown;
  /** Whether an event of this batch has changed them, even if a later one has undone that. */
  changed: boolean;
}

/** An event, the views that it changes, and what is known of its stream after it. */
export interface Step<V> {
  recorded: RecordedEvent;
  gather: Gather<V>;
  event: GatheredEvent;
  ids: string[];
  known: Known;
}

/** A view in the middle of the fold. */
export interface ViewState<V> {
  /** As it was read; undefined if it was not there. */
  document: StoredDocument | undefined;
  view: V | undefined;
  /** The position of the last event of each log that is in it, by domain. */
  positions: Record<string, number>;
  marks: Marks;
  changed: boolean;
}

export interface Failure {
  event: RecordedEvent;
  error: unknown;
}

/** More views for one event are a mistake: all of them are in memory at the same time. */
const maxViews = 100;
/** The limit of Elasticsearch. */
const maxIdBytes = 512;

const unknown: Known = { version: 0, facts: undefined, changed: false };

/**
 * Which views the events change, computed from facts alone. `known` has the facts of their streams; when this returns,
 * it has the facts after the events. Events that the facts have seen are already in the views, and left out.
 */
export function stepsOf<V>(
  projection: MultiStreamProjection<V>,
  events: RecordedEvent[],
  known: Map<string, Known>,
): { steps: Step<V>[]; failure?: Failure } {
  const steps: Step<V>[] = [];
  for (const recorded of events) {
    const { stream, version } = recorded;
    const gather = projection.gathers.find(({ entity }) => entity.name === entityOfStream(stream));
    if (!gather) continue;
    const before = known.get(stream) ?? unknown;
    if (version <= before.version) continue;
    try {
      const event = { ...projectedEvent(gather.entity, recorded), facts: before.facts };
      const ids = [...new Set(gather.views(event))];
      checkIds(ids);
      const facts = gather.facts?.remember(event);
      const after = { version, facts, changed: before.changed || facts !== before.facts };
      known.set(stream, after);
      steps.push({ recorded, gather, event, ids, known: after });
    } catch (error) {
      return { steps, failure: { event: recorded, error } };
    }
  }
  return { steps };
}

/**
 * Ids may come from callers' input. One that no store accepts must fail its event, not look like an unreachable store.
 */
function checkIds(ids: string[]): void {
  if (ids.length > maxViews) throw new Error(`it changes ${ids.length} views: at most ${maxViews} are allowed`);
  for (const id of ids) {
    const bytes = Buffer.byteLength(id);
    if (bytes === 0 || bytes > maxIdBytes || id.includes('\0') || !id.isWellFormed())
      throw new Error(
        `${JSON.stringify(id.slice(0, 100))} can't be a view's id: 1 to ${maxIdBytes} bytes of text, no NUL`,
      );
  }
}

/** A view as it was read, ready for the fold. Throws if it can't be decoded. */
export function stateOf<V>({ codec }: MultiStreamProjection<V>, document: StoredDocument | undefined): ViewState<V> {
  const view = document?.view === undefined ? undefined : codec.fromJSON(document.view);
  return { document, view, positions: { ...document?.streams }, marks: document?.marks ?? {}, changed: false };
}

/**
 * Applies the steps to the views that `stateAt` returns, and leaves others out. Events that a view has seen are
 * dropped. Returns how many steps are done, and the failure of the next one.
 */
export function foldSteps<V>(
  { name }: MultiStreamProjection<V>,
  steps: Step<V>[],
  stateAt: (id: string) => ViewState<V> | undefined,
): { done: number; failure?: Failure } {
  for (const [done, { recorded, gather, event, ids }] of steps.entries()) {
    const { position, stream } = recorded;
    const domain = domainOf(stream);
    try {
      const changes = ids.flatMap((id) => {
        const state = stateAt(id);
        if (!state || position <= (state.positions[domain] ?? 0)) return [];
        const after = gather.evolve(state.view, event, id);
        if (after === undefined || after === null)
          throw new Error(`${name}: evolve gives ${after} for "${event.event.$case}" of ${stream}`);
        return after === ignored ? [] : [{ state, view: after === deleted ? undefined : after }];
      });
      for (const { state, view } of changes) {
        state.view = view;
        state.positions[domain] = position;
        state.marks = marked(state.marks, recorded);
        state.changed = true;
      }
    } catch (error) {
      return { done, failure: { event: recorded, error } };
    }
  }
  return { done: steps.length };
}
