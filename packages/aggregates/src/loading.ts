/** Reads of a stream's state that are strong: each sees all that was in the log when it was asked for. */
import { occurredAt } from '@caudal/eventlog/codec.ts';
import type { EventLog } from '@caudal/eventlog/types.ts';
import type { AnyDecider, Entry, State } from './entry.ts';
import { apply, fold } from './fold.ts';
import { loadedEvents } from './metrics.ts';
import type { Snapshots } from './snapshots.ts';
import { openStreamReader } from './stream-reader.ts';

export interface Loader {
  /**
   * The stream's state, from what the entry has of it, else from a snapshot, and the events after that. The entry
   * takes it over unless its queue moves it. Errors: those of the log; an Error on events that can't be decoded.
   */
  load(entry: Entry): Promise<State>;
  /** The state after the last event that happened at or before a moment. Reads the whole stream. */
  loadAt(decider: AnyDecider, stream: string, at: Date): Promise<State>;
}

export function openLoader(log: EventLog, snapshots: Snapshots): Loader {
  const reader = openStreamReader(log);

  async function read(entry: Entry): Promise<State> {
    const { stream, decider, durable: known } = entry;
    let from = known;
    if (!from) {
      from = await snapshots.read(decider, stream);
      entry.snapshotVersion = from?.version ?? 0;
    }
    from ??= { state: decider.initial, version: 0 };
    const { events, more } = await reader.read(stream, from.version);
    let state = fold(decider, from, events);
    if (more) for await (const page of log.readStream(stream, state.version)) state = fold(decider, state, page);
    loadedEvents.add(state.version - from.version, { entity: decider.entity.name });

    if (entry.durable && entry.durable.version > state.version) return entry.durable;
    // With appends on their way the queue alone knows what their states stand on.
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
      // The one on its way may have missed what was appended since it started: all who ask now share the next.
      const next = () => start(entry);
      entry.nextRead ??= entry.read.then(next, next);
      return entry.nextRead;
    },
    async loadAt(decider, stream, at) {
      let state: State = { state: decider.initial, version: 0 };
      let found = state;
      // Clocks of different processes differ a little, so the times of a stream's events may step back: only its end
      // shows which event is the last of its time.
      for await (const page of log.readStream(stream)) {
        for (const event of page) {
          const happened = occurredAt(event);
          state = apply(decider, state, event, happened);
          if (happened <= at) found = state;
        }
      }
      return found;
    },
  };
}
