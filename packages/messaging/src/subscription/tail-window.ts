/**
 * The last events of a log, for readers that are a little behind. Bounded by bytes and by age, so that a system that idles
 * holds none; the events of the latest read always stay, since those that waited for it fetch them after it.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';

export interface TailWindow {
  /** The position of its last event: where the next read begins. */
  readonly end: number;
  /** Whether all events after this position, up to its end, are there. */
  covers(position: number): boolean;
  /** Up to `limit` events after a position that it covers. */
  after(position: number, limit: number): RecordedEvent[];
  /** Takes what a read from its end has brought, and lets go of what is too much or too old. */
  add(events: RecordedEvent[]): void;
  /** Begins anew, at another position. */
  restart(position: number): void;
}

export interface TailWindowOptions {
  /** What its events may take, by `bytesOf`. */
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
 * The same events with their bytes side by side in a buffer of their own. As they were read, each lies in a slab of 64 KiB
 * among the garbage of others, and keeps all of it: five times as much as it is.
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
  /** Consecutive, the last of them at `end`; and the reads that brought them. */
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
      // One that brings nothing counts as the latest, too: else the last events before a silence would stay.
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
