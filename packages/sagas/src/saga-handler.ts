/**
 * A saga as a handler of events: it gets the events that the saga observes, runs the sagas that they belong to, and
 * writes cursors and timers before the events count as handled. A crash at any point repeats the events; see advance.ts
 * for why that is safe.
 *
 * A batch does not wait for slow steps. Once the facts of its events are durable, a timer is set for the step, in case
 * its process dies, and the step continues beside the next batches. Its saga's next event cuts it short: the step runs
 * again in a state with that event (turns.ts). The bulkhead bounds how many slow runs of one step there are
 * (bulkhead.ts).
 */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type EventCase, entityOfStream } from '@caudal/contract/entity.ts';
import { originOf } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type Advanced, type Led, lead, type Observed, type Run, type Task, toEnd, untilSlow } from './advance.ts';
import { SLOW_MS, withBulkhead } from './bulkhead.ts';
import { type Cursor, type DueTimer, readSeen, seenOf, writeCursors } from './cursor-store.ts';
import { concernOf, observedOf } from './observe.ts';
import { addFailure, capCursors, type Failures, sortOut, unfinishedOf } from './seen.ts';
import { sagaTurns } from './turns.ts';
import type { Saga, TimerChange } from './types.ts';

const log = logger('saga');

/** A handler whose timers fire. */
export interface TimedHandler extends EventHandler {
  /** Where it begins if it has not run before; at the end of its logs if absent. */
  readonly from?: 'start';
  /** Does what is due for one of its ids; returns when that is due again. */
  fire(timer: DueTimer): Promise<Advanced>;
  /** Waits for the runs beside the batches. After the saga's signal has fired they end soon. */
  settled(): Promise<void>;
}

export interface SagaHandlerOptions<S, F extends EventCase> {
  saga: Saga<S, F>;
  /** Of the context that the saga belongs to. */
  aggregates: Aggregates;
  database: Database;
  clock: Clock;
  /** Ends the steps in flight. */
  signal: AbortSignal;
  /** How many sagas run at the same time; 64 if absent. */
  concurrency?: number;
  /** How long a batch waits for a saga, in milliseconds; 1,000 if absent. */
  patienceMs?: number;
}

/** The saga as an event handler. Its name is `<name>.process`: queues, cursors and timers are recorded under it. */
export function createSagaHandler<S, F extends EventCase>(options: SagaHandlerOptions<S, F>): TimedHandler {
  const { database, aggregates, clock, signal, concurrency = 64, patienceMs = SLOW_MS } = options;
  const saga = withBulkhead(options.saga, patienceMs);
  const name = `${saga.name}.process`;
  const entities = new Map(saga.observes.map(({ entity }) => [entity.name, entity]));
  const takeTurn = sagaTurns(signal);
  /** Runs that batches have begun, until they have ended and their result is written. */
  const ongoing = new Set<Promise<void>>();

  /** The events of a batch that belong to one saga. */
  type Group = { recorded: RecordedEvent; observed: Observed<S, F> }[];
  type Part = { events: RecordedEvent[]; advanced: Advanced } | { events: RecordedEvent[]; error: unknown };

  return {
    name,
    entities: [...entities.keys()],
    parts: saga.parts,
    from: saga.from,

    async handle(events) {
      const streams = [...new Set(events.map(({ stream }) => stream))];
      const { fresh, gaps, passed } = sortOut(events, await readSeen(database, name, streams));
      const failures: Failures = new Map();
      const cursors = new Map<string, Cursor>(passed);
      const timers: TimerChange[] = [];
      const noted = Promise.withResolvers<void>();
      try {
        const groups = groupBySaga(fresh, cursors, failures);
        await forEachConcurrent(groups, concurrency, async ([id, group]) => {
          for (const part of await leadGroup(id, group, noted.promise)) {
            if ('advanced' in part) timers.push({ id, ...part.advanced });
            for (const event of part.events) {
              if ('error' in part) addFailure(failures, event, part.error);
              else if (event.version > (cursors.get(event.stream)?.version ?? 0)) cursors.set(event.stream, event);
            }
          }
        });
        capCursors(cursors, failures);
        await writeCursors(database, name, cursors, timers);
      } finally {
        noted.resolve();
      }
      return unfinishedOf(failures, gaps);
    },

    seen: (heads) => seenOf(database, name, heads),

    fire: ({ id, retries }) => toEnd(leadInTurn({ sagaId: id, events: [], retries })),

    async settled() {
      await Promise.all(ongoing);
    },
  };

  /**
   * By saga. Events without a saga count as seen. One that can't be decoded fails, and ends its stream in this batch.
   */
  function groupBySaga(fresh: Map<string, RecordedEvent[]>, cursors: Map<string, Cursor>, failures: Failures) {
    const groups = new Map<string, Group>();
    for (const list of fresh.values()) {
      for (const recorded of list) {
        try {
          const concern = concernIn(recorded);
          if (!concern) {
            cursors.set(recorded.stream, recorded);
            continue;
          }
          const observed = { react: concern.react, origin: originOf(recorded, `service:${saga.name}`) };
          const group = groups.get(concern.sagaId) ?? [];
          group.push({ recorded, observed });
          groups.set(concern.sagaId, group);
        } catch (error) {
          addFailure(failures, recorded, error);
          break;
        }
      }
    }
    return groups;
  }

  function concernIn(recorded: RecordedEvent) {
    const entity = entities.get(entityOfStream(recorded.stream));
    return entity && concernOf(saga, entity.name, observedOf(entity, recorded));
  }

  /**
   * Runs one saga with all its events at once. If one of them fails, each is tried by itself, so that only the stream
   * of the failing event is held up.
   */
  async function leadGroup(id: string, group: Group, noted: Promise<void>): Promise<Part[]> {
    const events = group.map(({ recorded }) => recorded);
    try {
      const task = { sagaId: id, events: group.map(({ observed }) => observed), retries: 0, patienceMs };
      const led = untilSlow(leadInTurn(task));
      const rest = noteRest(id, led, noted).finally(() => ongoing.delete(rest));
      ongoing.add(rest);
      const how = await led;
      return [{ events, advanced: how.kind === 'rested' ? how.advanced : how.meanwhile }];
    } catch (error) {
      if (isTransient(error)) throw error;
      if (group.length === 1) return [{ events, error }];
    }
    const parts: Part[] = [];
    const failed = new Set<string>();
    for (const one of group) {
      if (failed.has(one.recorded.stream)) continue;
      const [part] = await leadGroup(id, [one], noted);
      if ('error' in part!) failed.add(one.recorded.stream);
      parts.push(part!);
    }
    return parts;
  }

  /** A run that holds the saga's lock until it ends. If it has patience, it cuts a slow run before it short. */
  async function* leadInTurn(task: Task<S, F>): Run {
    const turn = await takeTurn(task.sagaId, task.patienceMs);
    try {
      return yield* lead({ saga, aggregates, clock, signal: turn.signal }, task);
    } finally {
      turn.end();
    }
  }

  /** Writes the result of a slow run, after the batch that has begun it. Never rejects. */
  async function noteRest(id: string, led: Promise<Led>, noted: Promise<void>): Promise<void> {
    const how = await led.catch(() => undefined);
    if (how?.kind !== 'slow') return;
    try {
      const advanced = await how.rest;
      await noted;
      await writeCursors(database, name, new Map(), [{ id, ...advanced }]);
    } catch (error) {
      log.warn(
        { handler: name, id, err: error },
        'the result of a slow step could not be written: its timer repeats it',
      );
    }
  }
}
