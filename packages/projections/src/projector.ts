/**
 * Keeps one generation of a projection up to date: a handler of events.
 *
 *   events ── decode, find their views ──> load all views in one call ──> fold in memory ──> write all in one call
 *                                              ▲                                                │
 *                                              └──────── only those that lost a race ───────────┘
 *
 * A write lands only on the revision that was read, so any number of projectors may write the same views. See README,
 * How views are written.
 */
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { EventHandler, Unfinished } from '@caudal/messaging/types.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { entitiesOf, type Followed, followEvent, viewOfStream } from './events.ts';
import { type Folded, failed, foldHistory, foldView } from './fold.ts';
import type { AnyProjection } from './multi-stream/types.ts';
import { layoutOf, nameOf } from './stores/keys.ts';
import type { Collection, SaveResult, StoredDocument, ViewStore, Write } from './stores/store.ts';
import type { Projection, ViewDeclaration } from './types.ts';

export interface GenerationOptions<V, P extends AnyProjection<V> = AnyProjection<V>> {
  projection: P;
  store: ViewStore;
  generation: number;
}

export interface ProjectorOptions<V, P extends AnyProjection<V> = AnyProjection<V>> extends GenerationOptions<V, P> {
  /**
   * Called after views were written, before their events count as handled, so that caches can be invalidated. At least
   * once for each write: if the answer to a write was lost, or another projector wrote it, the call follows when the
   * events are delivered again.
   */
  onWritten?(generation: number, views: StoredDocument[]): Promise<void>;
}

/** A projector that loses this many races for a view in a row gives the batch back. */
const maxRounds = 12;

/** By projection. */
export const races = counter(
  'projection_races_lost_total',
  'Writes of views that another writer had changed since they were read: each is done again',
);

/** The name of a generation in queues, collections and metrics: `order-details.v1.2`. */
export function generationName(projection: { name: string; version: number }, generation: number): string {
  return `${nameOf(projection)}.${generation}`;
}

/** The collection of a generation's views. Makes no call. */
export function collectionOf<V>(options: {
  projection: ViewDeclaration<V>;
  store: ViewStore;
  generation: number;
}): Collection {
  const { projection, store, generation } = options;
  return store.collection(generationName(projection, generation), layoutOf(projection));
}

/**
 * The handler that keeps a generation. `handle` throws UNAVAILABLE if the store can't be reached or the generation is
 * gone, ABORTED if too many others write the same views.
 */
export function createProjector<V>(options: ProjectorOptions<V, Projection<V>>): EventHandler {
  const { projection, store, generation, onWritten } = options;
  const name = generationName(projection, generation);
  const collection = collectionOf(options);
  const fold = projection.kind === 'one-per-event' ? foldHistory<V> : foldView<V>;

  /** Whether the view is most likely new: usually, not always, its first entity is before those that add to it. */
  const begins = ([first]: Followed<V>[]) => first!.recorded.version === 1 && first!.follow === projection.follows[0];

  /** Applies groups of events, each of one view. */
  async function apply(groups: Map<string, Followed<V>[]>): Promise<Unfinished[]> {
    const unfinished: Unfinished[] = [];
    let open = groups;
    let raced = 0;
    for (let round = 1; open.size > 0; round++) {
      if (round > maxRounds)
        throw new CaudalError('ABORTED', 'VIEW_CONTENDED', `${name}: too many others write the same views.`);
      if (raced > 0) await delay(Math.random() * 4 * round);
      const unread = new Set(round === 1 ? [...open].flatMap(([id, events]) => (begins(events) ? id : [])) : []);
      const read = [...open.keys()].filter((id) => !unread.has(id));
      const stored = byId(read.length > 0 ? await collection.load(read) : []);
      const folds: Folded[] = [];
      const again = new Set<string>();
      const atFault = new Map<string, unknown>();
      const fail = (id: string, error: unknown) => (unread.has(id) ? again.add(id) : atFault.set(id, error));
      for (const [id, events] of open) {
        try {
          const folded = fold(projection, id, stored.get(id), events);
          if (unread.has(id) && folded.unfinished.length > 0) again.add(id);
          else folds.push(folded);
        } catch (error) {
          fail(id, error);
        }
      }
      const { lost, refused } = await write(folds, stored);
      for (const { id, error } of refused) fail(id, error);
      for (const id of lost) again.add(id);
      for (const { id, unfinished: ofView } of folds)
        if (!again.has(id) && !atFault.has(id)) unfinished.push(...ofView);
      for (const [id, error] of atFault) unfinished.push(...(await applySingly(id, open.get(id)!, error)));
      raced = lost.filter((id) => !unread.has(id)).length;
      if (raced > 0) races.add(raced, { projection: nameOf(projection) });
      open = new Map([...open].filter(([id]) => again.has(id)));
    }
    return unfinished;
  }

  /**
   * The same in parts of `store.viewsPerCall` views: while the store works on one part, the next is folded. No view is
   * in two parts. Resolves when all parts have ended; throws what one of them threw.
   */
  async function applyInParts(groups: Map<string, Followed<V>[]>): Promise<Unfinished[]> {
    if (groups.size <= store.viewsPerCall) return apply(groups);
    const all = [...groups];
    const parts: Promise<Unfinished[]>[] = [];
    for (let from = 0; from < all.length; from += store.viewsPerCall) {
      const part = apply(new Map(all.slice(from, from + store.viewsPerCall)));
      // It may fail before the others have begun; its failure is handled below.
      part.catch(() => {});
      parts.push(part);
      // Lets the event loop send its call.
      await setImmediate();
    }
    await Promise.allSettled(parts);
    return (await Promise.all(parts)).flat();
  }

  /** Entries first, then views and cursors; nothing of a history whose entry was refused. */
  async function write(folds: Folded[], stored: Map<string, StoredDocument>): Promise<SaveResult> {
    const refused: { id: string; error: unknown }[] = [];
    const entries = folds.flatMap((folded) => folded.entries);
    if (entries.length > 0) {
      const errors = new Map((await collection.save(entries)).refused.map(({ id, error }) => [id, error]));
      for (const folded of folds) {
        const bad = folded.entries.find(({ id }) => errors.has(id));
        if (bad) refused.push({ id: folded.id, error: errors.get(bad.id) });
      }
    }
    const out = new Set(refused.map(({ id }) => id));
    const writes = folds.flatMap<Write>((folded) => (folded.write && !out.has(folded.id) ? [folded.write] : []));
    const result = writes.length > 0 ? await collection.save(writes) : { lost: [], refused: [] };
    const unwritten = new Set([...result.lost, ...result.refused.map(({ id }) => id)]);
    const written: StoredDocument[] = writes.filter(({ id }) => !unwritten.has(id));
    // Their writer may have died before it called `onWritten`, or was a rebuild, which does not call it.
    written.push(...folds.flatMap((folded) => (folded.write ? [] : (stored.get(folded.id) ?? []))));
    if (written.length > 0) await onWritten?.(generation, written);
    return { lost: result.lost, refused: [...refused, ...result.refused] };
  }

  /** Finds the event that fails, in a view that can't be read or written with all its events at once. */
  async function applySingly(id: string, events: Followed<V>[], error: unknown): Promise<Unfinished[]> {
    if (events.length === 1) return [failed(events[0]!.recorded, error)];
    const unfinished: Unfinished[] = [];
    const held = new Set<string>();
    for (const event of events) {
      if (held.has(event.recorded.stream)) continue;
      const rest = await apply(new Map([[id, [event]]]));
      if (rest.length > 0) held.add(event.recorded.stream);
      unfinished.push(...rest);
    }
    return unfinished;
  }

  return {
    name,
    entities: entitiesOf(projection),
    parts: projection.parts,
    async handle(events) {
      const { groups, unfinished } = groupByView(projection, events);
      return [...unfinished, ...(await applyInParts(groups))];
    },
    async seen(heads, events) {
      const named = heads.map(({ stream }) => viewOfStream(projection, stream));
      const views = named.every((view) => view !== undefined)
        ? named.map(({ view }) => view)
        : (await events()).map((event) => viewOf(projection, event));
      const ids = [...new Set(views.filter((view) => typeof view === 'string'))];
      const stored = byId(ids.length > 0 ? await collection.load(ids) : []);
      return heads.map(({ stream, version }, index) => {
        const view = views[index];
        if (view === undefined) return version;
        return view === null ? 0 : (stored.get(view)?.streams[stream] ?? 0);
      });
    },
  };
}

/** The event's view; undefined: it has none, so it counts as seen; null: it can't be computed. */
function viewOf<V>(projection: Projection<V>, head: RecordedEvent): string | undefined | null {
  try {
    return followEvent(projection, head)?.view;
  } catch {
    return null;
  }
}

function groupByView<V>(
  projection: Projection<V>,
  events: RecordedEvent[],
): { groups: Map<string, Followed<V>[]>; unfinished: Unfinished[] } {
  const groups = new Map<string, Followed<V>[]>();
  const unfinished: Unfinished[] = [];
  const held = new Set<string>();
  for (const event of events) {
    if (held.has(event.stream)) continue;
    try {
      const followed = followEvent(projection, event);
      if (followed?.view === undefined) continue;
      const group = groups.get(followed.view);
      if (group) group.push(followed);
      else groups.set(followed.view, [followed]);
    } catch (error) {
      held.add(event.stream);
      unfinished.push(failed(event, error));
    }
  }
  return { groups, unfinished };
}

function byId(documents: StoredDocument[]): Map<string, StoredDocument> {
  return new Map(documents.map((document) => [document.id, document]));
}
