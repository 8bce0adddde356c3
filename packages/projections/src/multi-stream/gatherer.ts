/**
 * Keeps one generation of a multi-stream projection up to date: a handler of events in the order of their logs.
 *
 *   events ── load the facts of their streams ──> which views? ──> load, fold, write the views ──> write the facts
 *                                                                    ▲              │
 *                                                                    └─ those that lost a race
 *
 * Views are written before facts, so events that are repeated after a crash get the facts that they had the first time,
 * and the views that have these events drop them. See docs/multi-stream-projections.md, The idea.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Failed, InOrderHandler } from '@caudal/messaging/types.ts';
import { entitiesOf } from '../events.ts';
import { nextWrite } from '../fold.ts';
import { races } from '../projector.ts';
import { nameOf } from '../stores/keys.ts';
import type { Collection, StoredDocument, Write } from '../stores/store.ts';
import { foldSteps, type Known, type Step, stateOf, stepsOf, type ViewState } from './fold.ts';
import type { MultiStreamProjection } from './types.ts';

export interface GathererOptions<V> {
  projection: MultiStreamProjection<V>;
  /** `sales.v1.2` */
  name: string;
  views: Collection;
  facts: Collection;
  /** Called after views were written, before their events count as handled; at least once for each write. */
  onWritten?(views: StoredDocument[]): Promise<void>;
}

/** A writer that loses this many races in a row gives the batch back. */
const maxRounds = 12;

type StateAt<V> = Parameters<typeof foldSteps<V>>[2];

/** Result of writing the views of some steps: how many steps are in them, and the failure of the next one. */
interface Written {
  done: number;
  failure?: Failed;
  /** The store, or the codec, refuses a view with all of its events. */
  refused?: { error: unknown };
}

/**
 * The handler. `handle` throws UNAVAILABLE if the store can't be reached or the generation is gone, ABORTED if too many
 * others write the same views.
 */
export function createGatherer<V>(options: GathererOptions<V>): InOrderHandler {
  const { projection, name, views, facts, onWritten } = options;
  const labels = { projection: nameOf(projection) };
  const remembering = new Set(projection.gathers.flatMap(({ entity, facts: kept }) => (kept ? [entity.name] : [])));

  /**
   * The facts of the events' streams. A stream that begins in this batch needs no read: facts that are computed from
   * its first event on are right, whatever is stored.
   */
  async function loadFacts(events: RecordedEvent[]): Promise<Map<string, StoredDocument>> {
    const first = new Map(events.toReversed().map((event) => [event.stream, event]));
    const begun = [...first.values()].filter(({ version }) => version > 1).map(({ stream }) => stream);
    const ids = begun.filter((stream) => remembering.has(entityOfStream(stream)));
    return byId(ids.length > 0 ? await facts.load(ids) : []);
  }

  function knownOf(document: StoredDocument): Known {
    const { id, view, streams } = document;
    const kept = projection.gathers.find(({ entity }) => entity.name === entityOfStream(id))?.facts;
    return {
      version: streams[id]!,
      facts: view === undefined ? undefined : kept?.codec.fromJSON(view),
      changed: false,
    };
  }

  /** The views' states. A view that can't be decoded fails the first event that changes it. */
  async function load(ids: Set<string>): Promise<{ states: Map<string, ViewState<V>>; stateAt: StateAt<V> }> {
    const stored = byId(await views.load([...ids]));
    const states = new Map<string, ViewState<V>>();
    const errors = new Map<string, unknown>();
    for (const id of ids) {
      try {
        states.set(id, stateOf(projection, stored.get(id)));
      } catch (error) {
        errors.set(id, error);
      }
    }
    const stateAt: StateAt<V> = (id) => {
      if (errors.has(id)) throw errors.get(id);
      return states.get(id);
    };
    return { states, stateAt };
  }

  async function writeViews(steps: Step<V>[]): Promise<Written> {
    let open = new Set(steps.flatMap(({ ids }) => ids));
    let done = steps.length;
    let failure: Failed | undefined;
    for (let round = 1; open.size > 0; round++) {
      if (round > maxRounds) throw contended(name);
      if (round > 1) await delay(Math.random() * 4 * round);
      const { states, stateAt } = await load(open);
      const folded = foldSteps(projection, steps.slice(0, done), stateAt);
      if (folded.failure) ({ done, failure } = folded);
      const changed = [...states].filter(([, state]) => state.changed);
      const { writes, error } = writable(changed, ([id, { document, positions, marks, view }]) =>
        nextWrite(projection, { id, before: document, streams: positions, marks, view }),
      );
      if (error !== undefined) return { done, failure, refused: { error } };
      const { lost, refused } = writes.length > 0 ? await views.save(writes) : { lost: [], refused: [] };
      const unwritten = new Set([...lost, ...refused.map(({ id }) => id)]);
      const written = writes.filter(({ id }) => !unwritten.has(id));
      // Also for views that had everything: their writer may have died before it called this.
      const kept = [...states.values()].flatMap(({ document, changed: is }) => (document && !is ? [document] : []));
      if (written.length + kept.length > 0) await onWritten?.([...written, ...kept]);
      if (refused.length > 0) return { done, failure, refused: refused[0]! };
      if (lost.length > 0) races.add(lost.length, labels);
      open = new Set(lost);
    }
    return { done, failure };
  }

  /** Writes the facts of streams after these steps, if they have changed. Returns the error if one is refused. */
  async function writeFacts(
    steps: Step<V>[],
    stored: Map<string, StoredDocument>,
  ): Promise<{ error: unknown } | undefined> {
    const last = new Map(steps.map((step) => [step.recorded.stream, step]));
    let open = [...last.values()].filter(({ known }) => known.changed);
    let documents = stored;
    for (let round = 1; open.length > 0; round++) {
      if (round > maxRounds) throw contended(name);
      const { writes, error } = writable(open, (step) => factsWrite(step, documents));
      if (error !== undefined) return { error };
      const { lost, refused } = await facts.save(writes);
      if (refused.length > 0) return refused[0];
      if (lost.length === 0) return undefined;
      documents = byId(await facts.load(lost));
      // The facts after a version are the same, whichever process wrote them: only older ones are written again.
      open = open.filter(({ recorded: { stream, version } }) => {
        const seen = documents.get(stream)?.streams[stream] ?? 0;
        return lost.includes(stream) && seen < version;
      });
    }
    return undefined;
  }

  async function apply(steps: Step<V>[], stored: Map<string, StoredDocument>): Promise<Failed | undefined> {
    const written = await writeViews(steps);
    const refused = written.refused ?? (await writeFacts(steps.slice(0, written.done), stored));
    if (!refused) return written.failure;
    if (steps.length === 1) return { event: steps[0]!.recorded, error: refused.error };
    // Finds the event that fails.
    for (const step of steps) {
      const failure = await apply([step], await loadFacts([step.recorded]));
      if (failure) return failure;
    }
    return undefined;
  }

  return {
    name,
    entities: entitiesOf(projection),
    inOrder: true,
    async handle(events) {
      const stored = await loadFacts(events);
      const known = new Map<string, Known>();
      let readable = events;
      let unreadable: Failed | undefined;
      for (const document of stored.values()) {
        try {
          known.set(document.id, knownOf(document));
        } catch (error) {
          const place = readable.findIndex(({ stream }) => stream === document.id);
          if (place < 0) continue;
          unreadable = { event: readable[place]!, error };
          readable = readable.slice(0, place);
        }
      }
      const { steps, failure } = stepsOf(projection, readable, known);
      return (await apply(steps, stored)) ?? failure ?? unreadable;
    },
  };
}

/** The writes of these items; or the error if one can't be encoded. */
function writable<T>(items: T[], write: (item: T) => Write): { writes: Write[]; error?: unknown } {
  try {
    return { writes: items.map(write) };
  } catch (error) {
    return { writes: [], error };
  }
}

/** The facts of the step's stream after it, as a document under the stream's name. */
function factsWrite<V>({ recorded, gather, known }: Step<V>, stored: Map<string, StoredDocument>): Write {
  const { stream } = recorded;
  const before = stored.get(stream);
  return {
    id: stream,
    revision: (before?.revision ?? 0) + 1,
    guard: before?.guard,
    streams: { [stream]: known.version },
    keys: {},
    view: known.facts === undefined ? undefined : gather.facts!.codec.toJSON(known.facts),
  };
}

function byId(documents: StoredDocument[]): Map<string, StoredDocument> {
  return new Map(documents.map((document) => [document.id, document]));
}

function contended(name: string): CaudalError {
  return new CaudalError('ABORTED', 'VIEW_CONTENDED', `${name}: too many others write the same views.`);
}
