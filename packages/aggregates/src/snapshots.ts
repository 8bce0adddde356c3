/**
 * States that are kept now and then, so that a long stream need not be read from its start. Never waited for.
 *
 * How often is a matter of what they cost. A state of 100,000 remembered reservations takes this process 40 ms to write
 * down, and PostgreSQL as long. So the next one of a stream waits until `restFactor` times as long as writing took has
 * passed, and snapshots take no more than 2 % of a process's time a stream, however large and busy that is. What that means
 * for whoever has to load the stream cold: reading an event back takes less than deciding it did (half of it, measured),
 * so a process that did nothing else since the last snapshot has left at most half of the rest's time to read: 1 s for the
 * state above, beside the 0.1 s of the snapshot itself. With a factor of 20 it would be 0.4 s, for 5 % of all time; what
 * is paid all the time counts for more than what is paid after a failure.
 *
 * Large states are written down in slices, one state at a time, between which the event loop goes on.
 */
import { setImmediate as othersTurn } from 'node:timers/promises';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { AnyDecider, Entry, State } from './entry.ts';
import { decodeState, encodeState } from './state-data.ts';

/** At most this many are written at a time; the next event of a stream that was passed over offers it again. */
const maxWriting = 8;
/** How long others have the event loop for each millisecond of writing a stream's state down. */
const restFactor = 50;
/** How long a slice of writing down may hold the event loop. */
const sliceMs = 1;

const logs = logger('snapshots');

export interface Snapshots {
  /** The stream's kept state, if it has one that this code can read. Errors: UNAVAILABLE. */
  read(decider: AnyDecider, stream: string): Promise<State | undefined>;
  /** Keeps the entry's durable state in the background, if it is time for it. */
  offer(entry: Entry): void;
  /** Waits until what is being written is written, or has failed. */
  drain(): Promise<void>;
}

/** `elapsed`: milliseconds since some moment, by a clock that never goes back. */
export function openSnapshots(log: Pick<EventLog, 'loadSnapshot' | 'saveSnapshot'>, elapsed: () => number): Snapshots {
  /** By stream: a slow write must not be overtaken by the next of a busy stream. */
  const writing = new Map<string, Promise<void>>();
  /** The last state in line to be encoded: several at a time would add up their slices. */
  let encoding: Promise<unknown> = Promise.resolve();

  /** The encoded state, and the milliseconds that it took, without others' turns. */
  async function encode(state: unknown): Promise<{ data: Buffer; tookMs: number }> {
    const pieces: Buffer[] = [];
    let tookMs = 0;
    let began = elapsed();
    for (const piece of encodeState(state)) {
      pieces.push(piece);
      const sliceTook = elapsed() - began;
      if (sliceTook < sliceMs) continue;
      tookMs += sliceTook;
      await othersTurn();
      began = elapsed();
    }
    const data = Buffer.concat(pieces);
    return { data, tookMs: tookMs + elapsed() - began };
  }

  async function write(entry: Entry, schemaVersion: number, { state, version }: State): Promise<void> {
    const { stream } = entry;
    try {
      const encoded = encoding.then(() => encode(state));
      encoding = encoded.catch(() => {});
      const { data, tookMs } = await encoded;
      entry.snapshotAfterMs = elapsed() + restFactor * tookMs;
      await log.saveSnapshot(stream, { version, schemaVersion, data });
    } catch (error) {
      // Nothing depends on it: the stream is read from an older snapshot, or its start.
      logs.warn({ err: error, stream, version }, 'a snapshot could not be written');
    }
  }

  function offer(entry: Entry): void {
    const { decider, durable, stream } = entry;
    if (!decider.snapshot || !durable || writing.size >= maxWriting || writing.has(stream)) return;
    if (elapsed() < entry.snapshotAfterMs) return;
    const { every, schemaVersion } = decider.snapshot;
    const spacing = typeof every === 'function' ? every(durable.state) : every;
    if (durable.version - entry.snapshotVersion < spacing) return;
    entry.snapshotVersion = durable.version;
    const work = write(entry, schemaVersion, durable).then(() => {
      writing.delete(stream);
      // What came meanwhile may be worth another one.
      offer(entry);
    });
    writing.set(stream, work);
  }

  return {
    offer,
    async read({ snapshot }, stream) {
      if (!snapshot) return undefined;
      const kept = await log.loadSnapshot(stream);
      if (kept?.schemaVersion !== snapshot.schemaVersion) return undefined;
      try {
        return { state: decodeState(kept.data), version: kept.version };
      } catch (error) {
        logs.warn({ err: error, stream, version: kept.version }, 'a snapshot could not be read; it is ignored');
        return undefined;
      }
    },
    async drain() {
      while (writing.size > 0) await Promise.all(writing.values());
    },
  };
}
