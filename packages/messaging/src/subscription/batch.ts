/** Sorts batches of events for handlers: each stream in order, without repeats. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';

/** The streams of a batch in the order of their first events; the events of each by version, without repeats. */
export function byStream(events: RecordedEvent[]): Map<string, RecordedEvent[]> {
  const streams = Map.groupBy(events, ({ stream }) => stream);
  for (const [stream, ofStream] of streams) if (ofStream.length > 1) streams.set(stream, sorted(ofStream));
  return streams;
}

/** Joins two parts of one stream. */
export function merge(some: RecordedEvent[], others: RecordedEvent[]): RecordedEvent[] {
  return sorted([...some, ...others]);
}

function sorted(ofStream: RecordedEvent[]): RecordedEvent[] {
  const byVersion = ofStream.toSorted((a, b) => a.version - b.version);
  return byVersion.filter((event, index) => index === 0 || event.version !== byVersion[index - 1]!.version);
}
