/**
 * The facts that a multi-stream projection remembers of streams, computed from the log in bounded memory. The least
 * recently used ones are dropped, and computed again from the stream's beginning when they are needed.
 */
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { type Known, stepsOf } from '../multi-stream/fold.ts';
import type { MultiStreamProjection } from '../multi-stream/types.ts';
import { type Logs, readWholeStreams } from '../read-logs.ts';
import { checksAtATime } from './check-view.ts';

export interface FactsFromLog {
  /** By stream, for `stepsOf`. */
  known: Map<string, Known>;
  /** Loads the facts that these events need. */
  prepare(events: RecordedEvent[]): Promise<void>;
}

export function factsFromLog<V>(options: {
  projection: MultiStreamProjection<V>;
  logs: Logs;
  /** Streams in memory at a time, beside those of the events that are prepared for. */
  maxStreams: number;
}): FactsFromLog {
  const { projection, logs, maxStreams } = options;
  const known = new Map<string, Known>();
  const remembering = new Set(projection.gathers.flatMap(({ entity, facts }) => (facts ? [entity.name] : [])));

  async function readBack({ stream, version }: RecordedEvent): Promise<void> {
    for await (const page of readWholeStreams(logs, [stream])) {
      stepsOf(
        projection,
        page.filter((event) => event.version < version),
        known,
      );
      if (page.at(-1)!.version >= version - 1) return;
    }
  }

  return {
    known,
    async prepare(events) {
      const first = new Map(events.toReversed().map((event) => [event.stream, event]));
      const missing: RecordedEvent[] = [];
      for (const [stream, event] of first) {
        const facts = known.get(stream);
        if (facts) {
          // Moves it to the end: the most recently used.
          known.delete(stream);
          known.set(stream, facts);
        } else if (event.version > 1 && remembering.has(entityOfStream(stream))) {
          missing.push(event);
        }
      }
      for (const stream of known.keys()) {
        if (known.size <= maxStreams) break;
        if (!first.has(stream)) known.delete(stream);
      }
      await forEachConcurrent(missing, checksAtATime, readBack);
    },
  };
}
