/** Strong reads of a stream's state: each returns all that was in the log when it was called. */
import { occurredAt } from '@caudal/eventlog/codec.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { AnyDecider, Entry, Era, State } from './entry.ts';
import { apply, fold } from './fold.ts';
import { unlessEnded } from './former-claims.ts';
import { loadedEvents } from './metrics.ts';
import type { Snapshots } from './snapshots.ts';
import { openStreamReader } from './stream-reader.ts';

export interface Loader {
  /**
   * The stream's state: that of the entry, else of a snapshot, else the initial one, and the events after it. The entry
   * takes it over unless appends are in flight. Errors: those of the log; an Error on events that can't be decoded.
   */
  load(entry: Entry): Promise<State>;
  /** The state after the last event that happened at `at` or before. Reads the whole stream. */
  loadAt(decider: AnyDecider, stream: string, at: Date): Promise<State>;
}

/** `era`: that of the process, for reads during which it changes. */
export function openLoader(
  log: EventLog,
  { snapshots, clock, era }: { snapshots: Snapshots; clock: Clock; era: Era },
): Loader {
  const reader = openStreamReader(log);

  async function read(entry: Entry): Promise<State> {
    const { stream, decider, durable: known } = entry;
    const began = era.number;
    let from = known;
    if (!from || entry.stale) {
      entry.stale = false;
      const kept = await snapshots.read(decider, stream);
      const snapshot = kept === 'unreadable' ? undefined : kept;
      entry.snapshotVersion =
        kept === 'unreadable' ? Number.NEGATIVE_INFINITY : Math.max(entry.snapshotVersion, kept?.version ?? 0);
      if (!from || (snapshot && snapshot.version > from.version)) {
        from = snapshot;
        entry.snapshotOfOther = from !== undefined;
      }
    }
    from ??= { state: decider.initial, version: 0 };
    const { events, more } = await reader.read(stream, from.version);
    let state = fold(decider, from, events);
    if (more) for await (const page of log.readStream(stream, state.version)) state = fold(decider, state, page);
    // The log's epoch has changed during the read: the state may be of events that it has lost.
    if (era.number !== began) return read(entry);
    const former = unlessEnded(state.former, clock());
    if (state.former && !former) {
      state = { ...state, former };
      // The snapshot may be large with them: write another one soon.
      entry.snapshotVersion = Number.NEGATIVE_INFINITY;
    }
    loadedEvents.add(state.version - from.version, { entity: decider.entity.name });

    if (entry.durable && entry.durable.version > state.version) return entry.durable;
    // While appends are in flight, only the queue may move the durable state that they are decided on.
    if (entry.inFlight.length === 0 && entry.durable === known) {
      entry.durable = state;
      snapshots.offer(entry);
    }
    return state;
  }

  function start(entry: Entry): Promise<State> {
    const current = read(entry).finally(() => {
      entry.read = undefined;
    });
    entry.nextRead = undefined;
    entry.read = current;
    return current;
  }

  return {
    load(entry) {
      if (!entry.read) return entry.nextRead ?? start(entry);
      // The read in flight may have missed what was appended since it started. Calls from now on share the next one.
      const next = () => start(entry);
      entry.nextRead ??= entry.read.then(next, next);
      return entry.nextRead;
    },
    async loadAt(decider, stream, at) {
      let state: State = { state: decider.initial, version: 0 };
      let found = state;
      // Clocks of processes differ a little, so an event may have an earlier time than the one before it. So the last
      // event up to `at` is known only at the stream's end.
      for await (const page of log.readStream(stream)) {
        for (const event of page) {
          const happened = occurredAt(event);
          state = apply(decider, state, event);
          if (happened <= at) found = state;
        }
      }
      return found;
    },
  };
}
