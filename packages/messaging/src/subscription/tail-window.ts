/**
 * The last events of a log, for readers that are a little behind. Bounded by bytes and by age, so an idle system holds
 * none. The events of the latest read always stay, since the readers that waited for it fetch them after it.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';

export interface TailWindow {
  /** The position of its last event: where the next read begins. */
  readonly end: number;
  /** Whether it has all events from after this position to its end. */
  covers(position: number): boolean;
  /** Up to `limit` events after a position that it `covers`. */
  after(position: number, limit: number): RecordedEvent[];
  /** Adds the events of a read from its end, and drops those that are too many or too old. */
  add(events: RecordedEvent[]): void;
  /** Empties it, and begins at another position. */
  restart(position: number): void;
}

export interface TailWindowOptions {
  /** The most bytes of its events, by `bytesOf`. */
  maxBytes: number;
  /** How long an event is kept, in milliseconds. */
  keepMs: number;
  /** Milliseconds by a clock that never goes back; performance.now if absent. */
  elapsed?(): number;
}

/** An event's object with its strings, dates and views of buffers. */
const objectBytes = 700;

function bytesOf({ data, metadata }: RecordedEvent): number {
  return objectBytes + data.byteLength + metadata.byteLength;
}

/**
 * Copies the events' bytes into one buffer. As they are read, each event refers to a slab of 64 KiB that other data
 * shared, and keeps all of it in memory: five times the event's size.
 */
function compact(events: RecordedEvent[]): RecordedEvent[] {
  const bytes = events.reduce((sum, { data, metadata }) => sum + data.byteLength + metadata.byteLength, 0);
  const buffer = Buffer.allocUnsafeSlow(bytes);
  let offset = 0;
  const move = (from: Uint8Array): Buffer => {
    buffer.set(from, offset);
    offset += from.byteLength;
    return buffer.subarray(offset - from.byteLength, offset);
  };
  return events.map((event) => ({ ...event, metadata: move(event.metadata), data: move(event.data) }));
}

export function tailWindow({ maxBytes, keepMs, elapsed = () => performance.now() }: TailWindowOptions): TailWindow {
  /** Consecutive, the last of them at `end`; `reads` are the reads that they are from. */
  let events: RecordedEvent[] = [];
  let reads: { count: number; bytes: number; at: number }[] = [];
  let end = 0;
  let bytes = 0;

  function trim(): void {
    const oldest = elapsed() - keepMs;
    let count = 0;
    let dropped = 0;
    while (dropped < reads.length - 1 && (bytes > maxBytes || reads[dropped]!.at < oldest)) {
      bytes -= reads[dropped]!.bytes;
      count += reads[dropped]!.count;
      dropped++;
    }
    if (dropped === 0) return;
    reads.splice(0, dropped);
    events.splice(0, count);
  }

  return {
    get end() {
      return end;
    },
    covers: (position) => position >= end - events.length && position <= end,
    after(position, limit) {
      const from = position - (end - events.length);
      return events.slice(from, from + limit);
    },
    add(read) {
      const added = { count: read.length, bytes: read.reduce((sum, event) => sum + bytesOf(event), 0), at: elapsed() };
      // An empty read counts as the latest too: otherwise the last events before a pause would stay.
      const last = reads.at(-1);
      if (last?.count === 0) last.at = added.at;
      if (last?.count !== 0 || added.count > 0) reads.push(added);
      bytes += added.bytes;
      events.push(...compact(read));
      end = read.at(-1)?.position ?? end;
      trim();
    },
    restart(position) {
      events = [];
      reads = [];
      bytes = 0;
      end = position;
    },
  };
}
