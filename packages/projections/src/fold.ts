/** Folds events into views: the pure part between reading a view and writing it. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Unfinished } from '@caudal/messaging/types.ts';
import type { Followed } from './events.ts';
import { haveSameTexts, keysOf } from './stores/keys.ts';
import { type Marks, marked } from './stores/marks.ts';
import type { StoredDocument, Write } from './stores/store.ts';
import { deleted, type Evolved, ignored, type Projection, type ViewDeclaration } from './types.ts';

/** The result of folding the events of one view. */
export interface Folded {
  /** The view's id; in a history the id of the cursor, which is the stream's name. */
  id: string;
  /** The entries of a history. They must be written before `write`; some may be there already. */
  entries: Write[];
  /** The next state of the view, or of the cursor; undefined if nothing is new. */
  write: Write | undefined;
  unfinished: Unfinished[];
}

/**
 * Folds a view's events into the stored view, each stream by itself: versions that were seen are dropped, the next ones
 * applied. Behind a gap or a failed event nothing of the stream is applied. Throws if the stored view can't be decoded,
 * or the new one can't be encoded.
 */
export function foldView<V>(
  projection: Projection<V>,
  id: string,
  before: StoredDocument | undefined,
  events: Followed<V>[],
): Folded {
  const seen = seenOf(before);
  let view = before?.view === undefined ? undefined : projection.codec.fromJSON(before.view);
  const { applied, unfinished } = inOrder(seen, events, ({ follow, projected }) => {
    const after = evolve(projection, view, { follow, projected });
    if (after !== ignored) view = after === deleted ? undefined : after;
  });
  if (applied === 0) return { id, entries: [], write: undefined, unfinished };
  return { id, entries: [], write: nextWrite(projection, { id, before, ...seen, view }), unfinished };
}

/**
 * Makes an entry of each event of a stream (or none, if `evolve` returns `ignored`), and moves the stream's cursor.
 * Throws if an entry can't be encoded.
 */
export function foldHistory<V>(
  projection: Projection<V>,
  id: string,
  before: StoredDocument | undefined,
  events: Followed<V>[],
): Folded {
  const seen = seenOf(before);
  const entries: Write[] = [];
  const { applied, unfinished } = inOrder(seen, events, ({ follow, projected }) => {
    const entry = evolve(projection, undefined, { follow, projected });
    if (entry === ignored) return;
    if (entry === deleted) throw new Error(`${projection.name}: a history keeps its entries, "deleted" is no answer`);
    const streams = { [projected.stream]: projected.version };
    entries.push(nextWrite(projection, { id: projected.eventId, before: undefined, streams, view: entry }));
  });
  const write = applied === 0 ? undefined : nextWrite(projection, { id, before, ...seen, view: undefined });
  return { id, entries, write, unfinished };
}

/** The view after the event. Throws if `evolve` returns nothing: only `deleted` ends a view. */
export function evolve<V>(
  projection: Pick<Projection<V>, 'name'>,
  view: V | undefined,
  { follow, projected }: Pick<Followed<V>, 'follow' | 'projected'>,
): Evolved<V> {
  const after: Evolved<V> | undefined = follow.evolve(view, projected);
  if (after !== undefined && after !== null) return after;
  const { stream, event } = projected;
  const message = `${projection.name}: evolve gives ${after} for "${event.$case}" of ${stream}`;
  throw new Error(`${message}: it must give the view, or the word deleted or ignored`);
}

/** What a view has seen; it changes with each event that is applied. */
interface Seen {
  streams: Record<string, number>;
  marks: Marks;
}

const seenOf = (before: StoredDocument | undefined): Seen => ({
  streams: { ...before?.streams },
  marks: before?.marks ?? {},
});

function inOrder<V>(
  seenBefore: Seen,
  events: Followed<V>[],
  apply: (event: Followed<V>) => void,
): { applied: number; unfinished: Unfinished[] } {
  const { streams } = seenBefore;
  const held = new Set<string>();
  const unfinished: Unfinished[] = [];
  let applied = 0;
  for (const event of events) {
    const { stream, version } = event.recorded;
    const seen = streams[stream] ?? 0;
    if (held.has(stream) || version <= seen) continue;
    if (version > seen + 1) {
      held.add(stream);
      unfinished.push({ kind: 'gap', stream, seen });
      continue;
    }
    try {
      apply(event);
    } catch (error) {
      held.add(stream);
      unfinished.push(failed(event.recorded, error));
      continue;
    }
    streams[stream] = version;
    seenBefore.marks = marked(seenBefore.marks, event.recorded);
    applied += 1;
  }
  return { applied, unfinished };
}

export function failed(event: RecordedEvent, error: unknown): Unfinished {
  return { kind: 'failed', event, error };
}

/** The document that replaces the one before. Throws if the view can't be encoded. */
export function nextWrite<V>(
  projection: ViewDeclaration<V>,
  next: {
    id: string;
    before: StoredDocument | undefined;
    streams: Record<string, number>;
    marks?: Marks;
    view: V | undefined;
  },
): Write {
  const { id, before, streams, marks, view } = next;
  const searched = Object.values(projection.keys).some(({ type }) => type === 'text');
  return {
    id,
    revision: (before?.revision ?? 0) + 1,
    guard: before?.guard,
    streams,
    ...(marks && { marks }),
    keys: view === undefined ? {} : keysOf(projection, view),
    view: view === undefined ? undefined : projection.codec.toJSON(view),
    ...(searched &&
      view !== undefined &&
      before?.view !== undefined && {
        sameTexts: haveSameTexts(projection, projection.codec.fromJSON(before.view), view),
      }),
  };
}
