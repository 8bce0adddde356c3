/**
 * Reads the events that conflicts lack. It is done after the batch, so that no other append waits for it. Versions have no
 * gaps, so what is read later continues what the caller has.
 */
import { within } from '@caudal/kernel/time.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { partsOf } from './append.ts';
import { selectStreams } from './read.ts';
import type { Append, AppendResult, RecordedEvent, StreamConflict } from './types.ts';

/** The most missing events of a part, and of all. */
const mostOfPart = 1_000;
const mostOfAll = 10_000;
/** The results of the whole batch wait for the events. */
const readWithinMs = 1_000;

/** A part of a conflict that lacks events. */
interface Lack {
  stream: string;
  /** The version that it expected. */
  after: number;
  conflict: StreamConflict;
  /** Whether it gets all missing events, not only the first one. */
  isFirst: boolean;
}

/**
 * Of appends that were decided on each other only the first gets all events, the others the first one: an append that lost
 * a race together with 100 others would get the same events as they.
 */
function lacksOf(appends: Append[], results: AppendResult[]): Lack[] {
  const lacks: Lack[] = [];
  const events = new Map<string, number>();
  const chains = new Set<string>();
  appends.forEach((append, index) => {
    const result = results[index]!;
    const conflicts = result.kind === 'conflict' ? [result, ...(result.also ?? [])] : [];
    partsOf(append).forEach((part, place) => {
      const { stream, expected } = part;
      const ahead = events.get(stream) ?? 0;
      events.set(stream, ahead + part.events.length);
      const conflict = conflicts[place];
      if (!conflict || typeof expected !== 'number' || conflict.version <= expected) return;
      // The version that the first of those expected that were decided on each other.
      const chain = `${expected - ahead} ${stream}`;
      lacks.push({ stream, after: expected, conflict, isFirst: !chains.has(chain) });
      chains.add(chain);
    });
  });
  return lacks;
}

/**
 * Adds to the conflicts among the results the events that they lack, at most 1,000 a part and 10,000 in all. A conflict
 * whose events can't be read within a second, in the same epoch of the log, stays without: the caller then reads the stream.
 */
export async function addMissing(
  db: Transaction,
  { appends, results, epoch }: { appends: Append[]; results: AppendResult[]; epoch: number },
): Promise<void> {
  const lacks = lacksOf(appends, results);
  if (lacks.length === 0) return;
  const from = new Map<string, number>();
  for (const { stream, after } of lacks) from.set(stream, Math.min(after, from.get(stream) ?? after));
  const most = Math.min(mostOfPart, Math.floor(mostOfAll / lacks.filter(({ isFirst }) => isFirst).length));
  const cursors = Array.from(from, ([stream, afterVersion]) => ({ stream, afterVersion }));
  const reading = selectStreams(db, cursors, { each: most, limit: mostOfAll }).then(
    // Those of another epoch do not continue what the caller has.
    (page) => (page.epoch === epoch ? page.events : []),
    (): RecordedEvent[] => [],
  );
  const events = (await within(readWithinMs, reading)) ? await reading : [];
  const byStream = Map.groupBy(events, ({ stream }) => stream);
  for (const { stream, after, conflict, isFirst } of lacks) {
    const read = byStream.get(stream);
    if (!read) continue;
    const begin = after - from.get(stream)!;
    conflict.missing = read.slice(begin, isFirst ? begin + most : begin + 1);
    // The stream may have grown after the batch.
    conflict.version = Math.max(conflict.version, read.at(-1)!.version);
  }
}
