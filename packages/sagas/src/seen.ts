/**
 * Finds the events of a batch that are new to a handler with cursors. Repeats are dropped, and a stream that skips a
 * version is reported instead of handled.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Unfinished } from '@caudal/messaging/types.ts';

export interface Sorted {
  /** By stream, in order, without repeats and without gaps. */
  fresh: Map<string, RecordedEvent[]>;
  gaps: Gap[];
}

type Gap = Extract<Unfinished, { kind: 'gap' }>;

/** By stream: its first event that failed. Nothing behind it counts. */
export type Failures = Map<string, Extract<Unfinished, { kind: 'failed' }>>;

/** Whether an event lies before what a saga begins with (start-positions.ts): then it counts as seen. */
export function isBefore(begin: ReadonlyMap<string, number>, { stream, position }: RecordedEvent): boolean {
  return begin.size > 0 && position <= (begin.get(domainOf(stream)) ?? 0);
}

/** `seen`: the last version known of each stream; absent for none. */
export function sortOut(events: RecordedEvent[], seen: Map<string, number>): Sorted {
  const fresh = new Map<string, RecordedEvent[]>();
  const gaps = new Map<string, Gap>();
  for (const event of events) {
    if (gaps.has(event.stream)) continue;
    const known = fresh.get(event.stream)?.at(-1)?.version ?? seen.get(event.stream) ?? 0;
    if (event.version <= known) continue;
    if (event.version > known + 1) {
      gaps.set(event.stream, { kind: 'gap', stream: event.stream, seen: known });
      continue;
    }
    const list = fresh.get(event.stream);
    if (list) list.push(event);
    else fresh.set(event.stream, [event]);
  }
  return { fresh, gaps: [...gaps.values()] };
}

/** Records a failure, unless an earlier event of its stream has failed too. */
export function addFailure(failures: Failures, event: RecordedEvent, error: unknown): void {
  const known = failures.get(event.stream);
  if (!known || event.version < known.event.version) failures.set(event.stream, { kind: 'failed', event, error });
}

/** Moves cursors back to before each failed event, even if a later event of its stream was handled by itself. */
export function capCursors(cursors: Map<string, number>, failures: Failures): void {
  for (const { event } of failures.values()) {
    const seen = cursors.get(event.stream);
    if (seen === undefined || seen < event.version) continue;
    if (event.version === 1) cursors.delete(event.stream);
    else cursors.set(event.stream, event.version - 1);
  }
}

/** One report a stream: a gap behind an event that failed is reported once that event is handled. */
export function unfinishedOf(failures: Failures, gaps: Gap[]): Unfinished[] {
  return [...failures.values(), ...gaps.filter(({ stream }) => !failures.has(stream))];
}
