/**
 * Finds the events of a batch that are new to a handler with cursors. Repeats are dropped, and a stream that skips a
 * version is reported instead of handled.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Unfinished } from '@caudal/messaging/types.ts';
import { type Cursor, isPassed, type Seen } from './cursor-store.ts';

export interface Sorted {
  /** By stream, in order, without repeats and without gaps. */
  fresh: Map<string, RecordedEvent[]>;
  gaps: Gap[];
  /** Streams of which events were passed by the floor, with the last of these: they have a row again. */
  passed: Map<string, Cursor>;
}

type Gap = Extract<Unfinished, { kind: 'gap' }>;

/** By stream: its first event that failed. Nothing behind it counts. */
export type Failures = Map<string, Extract<Unfinished, { kind: 'failed' }>>;

/** `seen`: what is known of the streams. */
export function sortOut(events: RecordedEvent[], seen: Seen): Sorted {
  const fresh = new Map<string, RecordedEvent[]>();
  const gaps = new Map<string, Gap>();
  const passed = new Map<string, Cursor>();
  for (const event of events) {
    const { stream, version, position } = event;
    if (gaps.has(stream)) continue;
    const known = fresh.get(stream)?.at(-1)?.version ?? passed.get(stream)?.version ?? seen.versions.get(stream);
    if (version <= (known ?? 0)) continue;
    if (isPassed(seen, event)) {
      passed.set(stream, { version, position });
      continue;
    }
    if (version > (known ?? 0) + 1) {
      gaps.set(stream, { kind: 'gap', stream, seen: known ?? lookBack(events, event, seen) });
      continue;
    }
    const list = fresh.get(stream);
    if (list) list.push(event);
    else fresh.set(stream, [event]);
  }
  return { fresh, gaps: [...gaps.values()], passed };
}

/**
 * From where on a stream without a row is read, to find its last event that the floor has passed: more each time, so that
 * a long stream is not read from its start.
 */
function lookBack(events: RecordedEvent[], { stream, version }: RecordedEvent, { floors }: Seen): number {
  if ((floors.get(domainOf(stream)) ?? 0) === 0) return 0;
  const given = events.filter((event) => event.stream === stream).length;
  return Math.max(0, version - 1 - Math.max(32, given));
}

/** Records a failure, unless an earlier event of its stream has failed too. */
export function addFailure(failures: Failures, event: RecordedEvent, error: unknown): void {
  const known = failures.get(event.stream);
  if (!known || event.version < known.event.version) failures.set(event.stream, { kind: 'failed', event, error });
}

/** Moves cursors back to before each failed event, even if a later event of its stream was handled by itself. */
export function capCursors(cursors: Map<string, Cursor>, failures: Failures): void {
  for (const { event } of failures.values()) {
    const seen = cursors.get(event.stream);
    if (seen === undefined || seen.version < event.version) continue;
    if (event.version === 1) cursors.delete(event.stream);
    else cursors.set(event.stream, { version: event.version - 1 });
  }
}

/** One report a stream: a gap behind an event that failed is reported once that event is handled. */
export function unfinishedOf(failures: Failures, gaps: Gap[]): Unfinished[] {
  return [...failures.values(), ...gaps.filter(({ stream }) => !failures.has(stream))];
}
