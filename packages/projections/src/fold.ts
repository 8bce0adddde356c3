/** Folding events into views: what happens between reading a view and writing it. Pure. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Unfinished } from '@caudal/messaging/types.ts';
import type { Followed } from './events.ts';
import { keysOf } from './stores/keys.ts';
import type { StoredDocument, Write } from './stores/store.ts';
import { deleted, type Evolved, ignored, type Projection, type ViewDeclaration } from './types.ts';

/** What the events of one view come to. */
export interface Folded {
  /** The view's id; for a history the stream, whose cursor it is. */
  id: string;
  /** Documents that must be there before `write`: the entries of a history. They may be there already. */
  entries: Write[];
  /** The view's, or cursor's, next state; undefined if nothing is new. */
  write: Write | undefined;
  unfinished: Unfinished[];
}

/**
 * Folds a view's events into what is stored of it. Each stream for itself: versions that were seen are dropped, the next
 * ones applied, and behind a gap or an event that fails nothing of the stream is applied. Throws if the stored view
 * can't be read, or the new one not be written down.
 */
export function foldView<V>(
  projection: Projection<V>,
  id: string,
  before: StoredDocument | undefined,
  events: Followed<V>[],
): Folded {
  const streams = { ...before?.streams };
  let view = before?.view === undefined ? undefined : projection.codec.fromJSON(before.view);
  const { applied, unfinished } = inOrder(streams, events, ({ follow, projected }) => {
    const after = evolve(projection, view, { follow, projected });
    if (after !== ignored) view = after === deleted ? undefined : after;
  });
  if (applied === 0) return { id, entries: [], write: undefined, unfinished };
  return { id, entries: [], write: nextWrite(projection, { id, before, streams, view }), unfinished };
}

/**
 * Makes an entry of each event of a stream (or none, where `evolve` says `ignored`), and moves the stream's cursor.
 * Throws if an entry can't be written down.
 */
export function foldHistory<V>(
  projection: Projection<V>,
  id: string,
  before: StoredDocument | undefined,
  events: Followed<V>[],
): Folded {
  const streams = { ...before?.streams };
  const entries: Write[] = [];
  const { applied, unfinished } = inOrder(streams, events, ({ follow, projected }) => {
    const entry = evolve(projection, undefined, { follow, projected });
    if (entry === ignored) return;
    if (entry === deleted) throw new Error(`${projection.name}: a history keeps its entries, "deleted" is no answer`);
    const seen = { [projected.stream]: projected.version };
    entries.push(nextWrite(projection, { id: projected.eventId, before: undefined, streams: seen, view: entry }));
  });
  const write = applied === 0 ? undefined : nextWrite(projection, { id, before, streams, view: undefined });
  return { id, entries, write, unfinished };
}

/** What the event makes of the view. Throws if that is nothing: a view ends by the word `deleted` only. */
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

function inOrder<V>(
  streams: Record<string, number>,
  events: Followed<V>[],
  apply: (event: Followed<V>) => void,
): { applied: number; unfinished: Unfinished[] } {
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
    applied += 1;
  }
  return { applied, unfinished };
}

export function failed(event: RecordedEvent, error: unknown): Unfinished {
  return { kind: 'failed', event, error };
}

/** The document that takes the place of the one before. Throws if the view can't be written down. */
export function nextWrite<V>(
  projection: ViewDeclaration<V>,
  next: { id: string; before: StoredDocument | undefined; streams: Record<string, number>; view: V | undefined },
): Write {
  const { id, before, streams, view } = next;
  return {
    id,
    revision: (before?.revision ?? 0) + 1,
    guard: before?.guard,
    streams,
    keys: view === undefined ? {} : keysOf(projection, view),
    view: view === undefined ? undefined : projection.codec.toJSON(view),
  };
}
