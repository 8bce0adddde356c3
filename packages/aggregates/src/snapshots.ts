/**
 * States that are stored now and then, so that a long stream need not be read from its start. No command waits for
 * them. See README, How often snapshots are written. Large states are encoded in slices, one state at a time; between
 * slices the event loop runs other work.
 */
import { setImmediate as othersTurn } from 'node:timers/promises';
import type { EventLog } from '@caudal/eventlog/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { AnyDecider, Entry, Era, State } from './entry.ts';
import { decodeState, encodeState } from './state-data.ts';

/** At most this many are written at a time. A stream that was passed over is offered again with its next event. */
const maxWriting = 8;
/** For each millisecond of encoding a stream's state, its next snapshot waits this many milliseconds. */
const restFactor = 50;
/**
 * A process leaves a stream's snapshots to the process that has written the last one: it waits for so many times as many
 * events, and this long at least, before it looks whether another one has followed.
 */
const othersFactor = 1.25;
const othersMs = 1_000;
/** How long a slice of encoding may hold the event loop. */
const sliceMs = 1;

const logs = logger('snapshots');

export interface Snapshots {
  /**
   * The state of the stream's snapshot; undefined if it has none of the decider's schema version. `unreadable`: it is to be
   * replaced. Errors: UNAVAILABLE.
   */
  read(decider: AnyDecider, stream: string): Promise<State | 'unreadable' | undefined>;
  /** Writes a snapshot of the entry's durable state in the background, if one is due. */
  offer(entry: Entry): void;
  /** Waits until the snapshots that are being written are written, or have failed. */
  drain(): Promise<void>;
}

/** What a snapshot of the decider's schema version holds. Throws if it can't be read. */
export function readState({ claims }: AnyDecider, data: Uint8Array): Omit<State, 'version'> {
  const kept = decodeState(data);
  return claims ? (kept as Omit<State, 'version'>) : { state: kept };
}

/** `elapsed`: milliseconds of a clock that never goes back. `era`: that of the process; states of a former one are not written. */
export function openSnapshots(
  log: Pick<EventLog, 'loadSnapshot' | 'findSnapshot' | 'saveSnapshot'>,
  elapsed: () => number,
  era: Era,
): Snapshots {
  /** By stream: a slow write must not be overtaken by the stream's next one. */
  const writing = new Map<string, Promise<void>>();
  /** The encoding of the last state in line. Several at a time would add up their slices. */
  let encoding: Promise<unknown> = Promise.resolve();

  /** The encoded state, and the milliseconds that encoding took, without the pauses between slices. */
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

  /** Whether another process has written a snapshot since this one has written or seen one. Then it is left to that. */
  async function isLeftToOther(entry: Entry, schemaVersion: number, known: number): Promise<boolean> {
    const last = await log.findSnapshot(entry.stream);
    if (last?.schemaVersion !== schemaVersion || last.version <= known) return false;
    entry.snapshotVersion = last.version;
    entry.snapshotOfOther = true;
    entry.snapshotAfterMs = Math.max(entry.snapshotAfterMs, elapsed() + othersMs);
    return true;
  }

  async function write(entry: Entry, schemaVersion: number, { version, ...kept }: State, known: number): Promise<void> {
    const { stream, decider } = entry;
    const began = era.number;
    try {
      // One that must be replaced is replaced, whoever has written it.
      if (known >= 0 && (await isLeftToOther(entry, schemaVersion, known))) return;
      const encoded = encoding.then(() => encode(decider.claims ? kept : kept.state));
      encoding = encoded.catch(() => {});
      const { data, tookMs } = await encoded;
      entry.snapshotAfterMs = elapsed() + restFactor * tookMs;
      // The log may have lost what the state came from. (From here on it refuses the snapshot itself.)
      if (era.number !== began) return;
      await log.saveSnapshot(stream, { version, schemaVersion, data });
      entry.snapshotOfOther = false;
    } catch (error) {
      // Nothing depends on the snapshot: the stream is read from an older one, or from its start.
      logs.warn({ err: error, stream, version }, 'a snapshot could not be written');
    }
  }

  function offer(entry: Entry): void {
    const { decider, durable, stream } = entry;
    if (!decider.snapshot || !durable || writing.size >= maxWriting || writing.has(stream)) return;
    if (elapsed() < entry.snapshotAfterMs) return;
    const { every, schemaVersion } = decider.snapshot;
    const spacing = typeof every === 'function' ? every(durable.state) : every;
    const known = entry.snapshotVersion;
    if (durable.version - known < spacing * (entry.snapshotOfOther ? othersFactor : 1)) return;
    entry.snapshotVersion = durable.version;
    const began = era.number;
    const work = write(entry, schemaVersion, durable, known).then(() => {
      writing.delete(stream);
      // Events that were appended during the write may make another one due. One that has left the cache may know of lost ones.
      if (era.number === began) offer(entry);
    });
    writing.set(stream, work);
  }

  return {
    offer,
    async read(decider, stream) {
      const { snapshot } = decider;
      if (!snapshot) return undefined;
      const kept = await log.loadSnapshot(stream);
      if (!kept) return undefined;
      const { version, schemaVersion } = kept;
      try {
        if (schemaVersion === snapshot.schemaVersion) return { ...readState(decider, kept.data), version };
        if (schemaVersion !== snapshot.former?.schemaVersion) return undefined;
        const { state, claims, until } = snapshot.former.read(decodeState(kept.data));
        return { state, former: { outcomes: claims, until: until.getTime() }, version };
      } catch (error) {
        logs.warn({ err: error, stream, version }, 'a snapshot could not be read; it is ignored');
        return 'unreadable';
      }
    },
    async drain() {
      while (writing.size > 0) await Promise.all(writing.values());
    },
  };
}
