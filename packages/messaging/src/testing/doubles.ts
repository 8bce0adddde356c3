/** For the tests of this package: a handler in memory, a feed that the test drives, and events for them. */
import type { EventLog, NewEvent, RecordedEvent } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { EventHandler, Feed, Unfinished } from '../types.ts';

/** A handler that keeps versions as a projection does: it applies the next version, and reports gaps and failures. */
export interface TestHandler extends EventHandler {
  /** The versions applied of each stream, in order. */
  readonly applied: Map<string, number[]>;
  /** How often each event id was attempted. */
  readonly attempts: Map<string, number>;
  /** Returns an error to fail the event. */
  judge(event: RecordedEvent): unknown;
  /** While it is set, every call throws it. */
  down: Error | undefined;
}

export function testHandler(name: string, entities: string[], applied = new Map<string, number[]>()): TestHandler {
  const attempts = new Map<string, number>();
  const seenOf = (stream: string) => applied.get(stream)?.at(-1) ?? 0;
  return {
    name,
    entities,
    applied,
    attempts,
    down: undefined,
    judge: () => undefined,
    async handle(events) {
      await sleep(0);
      if (this.down) throw this.down;
      const unfinished = new Map<string, Unfinished>();
      for (const event of events) {
        const { stream, version } = event;
        const seen = seenOf(stream);
        if (unfinished.has(stream) || version <= seen) continue;
        if (version > seen + 1) {
          unfinished.set(stream, { kind: 'gap', stream, seen });
          continue;
        }
        attempts.set(event.eventId, (attempts.get(event.eventId) ?? 0) + 1);
        const error = this.judge(event);
        if (error) unfinished.set(stream, { kind: 'failed', event, error });
        else applied.set(stream, [...(applied.get(stream) ?? []), version]);
      }
      return [...unfinished.values()];
    },
    async seen(heads) {
      if (this.down) throw this.down;
      return heads.map(({ stream }) => seenOf(stream));
    },
  };
}

/** A feed whose batches the test delivers. */
export function scriptedFeed(): Feed & { give(events: RecordedEvent[]): Promise<void> } {
  let deliver: (events: RecordedEvent[]) => Promise<void> = () => Promise.reject(new Error('not running'));
  return {
    give: (events) => deliver(events),
    async run(given, signal) {
      deliver = given;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  };
}

export const newEvent = (type: string): NewEvent => ({
  eventId: newId(),
  type,
  schemaVersion: 1,
  data: Buffer.from(type),
  metadata: Buffer.alloc(0),
});

/** Appends `count` events to a stream, and returns them. */
export async function grow(log: Pick<EventLog, 'append' | 'readStreams'>, stream: string, count: number) {
  const entity = stream.slice(0, stream.indexOf('/'));
  const events = Array.from({ length: count }, () => newEvent(`${entity}.changed.v1`));
  const result = await log.append({ stream, expected: 'any', events });
  if (result.kind !== 'appended') throw new Error(result.kind);
  return log.readStreams([{ stream, afterVersion: result.version - count }]);
}

/** All items of an iterable. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** 1, 2, ... count */
export const versions = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
