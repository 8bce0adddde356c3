/**
 * The simplest process: "when this has happened, do that later, unless something else has happened meanwhile". It needs no
 * memory of its own: its timers follow from the events it observes, and the command that it gives decides by itself whether
 * it is still wanted.
 */
import { type Entity, type EventCase, idOfStream } from '@caudal/contract/entity.ts';
import { occurredAt } from '@caudal/eventlog/codec.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { readCursors, seenOf, writeCursors } from './cursor-store.ts';
import type { TimedHandler } from './saga-handler.ts';
import { addFailure, type Failures, sortOut, unfinishedOf } from './seen.ts';
import type { ObservedEvent, TimerChange } from './types.ts';

const RETRY = { firstMs: 500, maxMs: 60_000 };

export interface TimerPolicyOptions<E extends EventCase> {
  /** `reservation-expiry` */
  name: string;
  entity: Entity<E>;
  /** What an event changes: a timer set (`dueAt`) or no longer wanted (undefined). An id belongs to one stream. */
  timer(event: ObservedEvent<E>): { id: string; dueAt: Date | undefined } | undefined;
  /**
   * Gives the command, which may be given again. Returns when to ask again; undefined: it is done. What fails, for
   * whatever reason, is tried again later.
   */
  fire(id: string): Promise<Date | undefined>;
  database: Database;
  clock: Clock;
}

/** The policy as an event handler named `<name>.process`. */
export function createTimerPolicy<E extends EventCase>(options: TimerPolicyOptions<E>): TimedHandler {
  const { entity, database, clock } = options;
  const name = `${options.name}.process`;
  return {
    name,
    entities: [entity.name],

    async handle(events) {
      const { fresh, gaps } = sortOut(
        events,
        await readCursors(database, name, [...new Set(events.map((e) => e.stream))]),
      );
      const failures: Failures = new Map();
      const cursors = new Map<string, number>();
      const timers: TimerChange[] = [];
      for (const [stream, list] of fresh) {
        for (const recorded of list) {
          try {
            const change = options.timer({
              stream,
              id: idOfStream(stream),
              version: recorded.version,
              at: occurredAt(recorded),
              event: entity.decode(recorded),
            });
            if (change) timers.push({ ...change, retries: 0, version: recorded.version });
            cursors.set(stream, recorded.version);
          } catch (error) {
            addFailure(failures, recorded, error);
            break;
          }
        }
      }
      await writeCursors(database, name, cursors, timers);
      return unfinishedOf(failures, gaps);
    },

    seen: (heads) => seenOf(database, name, heads),

    async fire({ id, retries, version }) {
      try {
        return { dueAt: await options.fire(id), retries: 0, version };
      } catch (error) {
        if (!isTransient(error)) throw error;
        return { dueAt: new Date(clock().getTime() + backoffMs(retries + 1, RETRY)), retries: retries + 1, version };
      }
    },

    // All that it begins, its timers wait for.
    settled: async () => {},
  };
}
