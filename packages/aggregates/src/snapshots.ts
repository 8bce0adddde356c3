/** States that are kept now and then, so that a long stream need not be read from its start. Never waited for. */
import { deserialize, serialize } from 'node:v8';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { AnyDecider, Entry, State } from './entry.ts';

/** At most this many are written at a time; the next event of a stream that was passed over offers it again. */
const maxWriting = 8;

const logs = logger('snapshots');

export interface Snapshots {
  /** The stream's kept state, if it has one that this code can read. Errors: UNAVAILABLE. */
  read(decider: AnyDecider, stream: string): Promise<State | undefined>;
  /** Keeps the entry's durable state in the background, if it is time for it. */
  offer(entry: Entry): void;
  /** Waits until what is being written is written, or has failed. */
  drain(): Promise<void>;
}

export function openSnapshots(log: Pick<EventLog, 'loadSnapshot' | 'saveSnapshot'>): Snapshots {
  /** By stream: a slow write must not be overtaken by the next of a busy stream. */
  const writing = new Map<string, Promise<void>>();

  async function write(stream: string, schemaVersion: number, { state, version }: State): Promise<void> {
    try {
      // The structured clone format: bigint, Date, Map and Set survive.
      await log.saveSnapshot(stream, { version, schemaVersion, data: serialize(state) });
    } catch (error) {
      // Nothing depends on it: the stream is read from an older snapshot, or its start.
      logs.warn({ err: error, stream, version }, 'a snapshot could not be written');
    }
  }

  function offer(entry: Entry): void {
    const { decider, durable, stream } = entry;
    if (!decider.snapshot || !durable || writing.size >= maxWriting || writing.has(stream)) return;
    const { every, schemaVersion } = decider.snapshot;
    const spacing = typeof every === 'function' ? every(durable.state) : every;
    if (durable.version - entry.snapshotVersion < spacing) return;
    entry.snapshotVersion = durable.version;
    const work = write(stream, schemaVersion, durable).then(() => {
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
        return { state: deserialize(kept.data), version: kept.version };
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
