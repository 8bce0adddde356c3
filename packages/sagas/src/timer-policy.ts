/**
 * The simplest saga: "when this has happened, do that later, unless something else has happened by then". It needs no
 * state of its own: its timers follow from the events that it observes, and its command decides whether it still
 * applies.
 */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { type Cursor, readSeen, seenOf, writeCursors } from './cursor-store.ts';
import { type CaseOf, forCase, type ObservedEvent, observedOf } from './observe.ts';
import type { TimedHandler } from './saga-handler.ts';
import { addFailure, type Failures, sortOut, unfinishedOf } from './seen.ts';
import type { TimerChange } from './types.ts';

const RETRY = { firstMs: 500, maxMs: 60_000 };

/** An event's change: a timer to set (`dueAt`), or to unset (undefined). An id belongs to one stream. */
export interface TimerSetting {
  id: string;
  dueAt: Date | undefined;
}

/** By case of event: the timer that it sets or ends. A case without an entry changes none. */
export type TimerSettings<E extends EventCase> = {
  [C in E['$case']]?: (event: CaseOf<E, C>, observed: ObservedEvent<CaseOf<E, C>>) => TimerSetting;
};

export interface TimerPolicyOptions<E extends EventCase> {
  /** `reservation-expiry` */
  name: string;
  entity: Entity<E>;
  /**
   * Into how many parts its events are divided where there is a broker, so that as many processes can share the work: 1,
   * 2, 4, 8 or 16; 1 if absent. It may be raised at any time.
   */
  parts?: number;
  /** `start`: if it has not run before, it reacts to all events there are. Absent: only to those from now on. */
  from?: 'start';
  timers: TimerSettings<E>;
  /**
   * Sends the command, which may be sent again. Returns when to fire again; undefined: it is done. After any failure it
   * is tried again later.
   */
  fire(id: string): Promise<Date | undefined>;
  database: Database;
  clock: Clock;
}

/** The policy as an event handler named `<name>.process`. */
export function createTimerPolicy<E extends EventCase>(options: TimerPolicyOptions<E>): TimedHandler {
  const { entity, database, clock } = options;
  const name = `${options.name}.process`;
  // The types above check that each case has its function; here any event is given to the function of its case.
  const timersOf = options.timers as unknown as Readonly<
    Record<string, (event: E, observed: ObservedEvent<E>) => TimerSetting>
  >;
  const changeOf = (recorded: RecordedEvent) => {
    const observed = observedOf(entity, recorded);
    return forCase(timersOf, observed.event)?.(observed.event, observed);
  };
  return {
    name,
    entities: [entity.name],
    parts: options.parts,
    from: options.from,

    async handle(events) {
      const streams = [...new Set(events.map(({ stream }) => stream))];
      const { fresh, gaps, passed } = sortOut(events, await readSeen(database, name, streams));
      const failures: Failures = new Map();
      const cursors = new Map<string, Cursor>(passed);
      const timers: TimerChange[] = [];
      for (const [stream, list] of fresh) {
        for (const recorded of list) {
          try {
            const change = changeOf(recorded);
            if (change) timers.push({ ...change, retries: 0, version: recorded.version });
            cursors.set(stream, recorded);
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

    // Nothing runs beside the batches.
    settled: async () => {},
  };
}
