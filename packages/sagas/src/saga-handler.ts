/**
 * A saga as a handler of events: it gets the events that it observes, leads the sagas they belong to on, and notes what was
 * seen and what is due before the events count as handled. A crash at any point repeats the events; see advance.ts for why
 * that is safe.
 *
 * A batch does not wait for steps that are slow. Once what its events brought is durable, a timer stands in for the step, in
 * case its process dies, and it goes on beside the next batches. Its saga's next event cuts it short: it is run
 * again with that event known (turns.ts). Of steps that hang only some are begun at all (bulkhead.ts), so what goes on beside
 * the batches is bounded too.
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
import { type DueTimer, readCursors, seenOf, writeCursors } from './cursor-store.ts';
import { concernOf, observedOf } from './observe.ts';
import { addFailure, capCursors, type Failures, sortOut, unfinishedOf } from './seen.ts';
import { sagaTurns } from './turns.ts';
import type { Saga, TimerChange } from './types.ts';

const log = logger('saga');

/** A handler whose timers fire. */
export interface TimedHandler extends EventHandler {
  /** Does what is due for one of its ids; says when to look again. */
  fire(timer: DueTimer): Promise<Advanced>;
  /** Waits for what goes on beside the batches. Once the saga's signal has fired, that is soon over. */
  settled(): Promise<void>;
}

export interface SagaHandlerOptions<S, F extends EventCase> {
  saga: Saga<S, F>;
  /** Of the context that the saga belongs to. */
  aggregates: Aggregates;
  database: Database;
  clock: Clock;
  /** Ends the steps that are under way. */
  signal: AbortSignal;
  /** How many sagas are led on at the same time; 64 if absent. */
  concurrency?: number;
  /** How long a batch waits for a saga, in milliseconds; 1,000 if absent. */
  patienceMs?: number;
}

/** The saga as an event handler. Its name is `<name>.process`: queues, cursors and timers are on record under it. */
export function createSagaHandler<S, F extends EventCase>(options: SagaHandlerOptions<S, F>): TimedHandler {
  const { database, aggregates, clock, signal, concurrency = 64, patienceMs = SLOW_MS } = options;
  const saga = withBulkhead(options.saga, patienceMs);
  const name = `${saga.name}.process`;
  const entities = new Map(saga.observes.map(({ entity }) => [entity.name, entity]));
  const takeTurn = sagaTurns(signal);
  /** Runs that a batch has begun, until they have ended and what came of them is noted. */
  const ongoing = new Set<Promise<void>>();

  /** The events of a batch that belong to one saga. */
  type Group = { recorded: RecordedEvent; observed: Observed<S, F> }[];
  type Part = { events: RecordedEvent[]; advanced: Advanced } | { events: RecordedEvent[]; error: unknown };

  return {
    name,
    entities: [...entities.keys()],

    async handle(events) {
      const streams = [...new Set(events.map(({ stream }) => stream))];
      const { fresh, gaps } = sortOut(events, await readCursors(database, name, streams));
      const failures: Failures = new Map();
      const cursors = new Map<string, number>();
      const timers: TimerChange[] = [];
      const noted = Promise.withResolvers<void>();
      try {
        const groups = groupBySaga(fresh, cursors, failures);
        await forEachConcurrent(groups, concurrency, async ([id, group]) => {
          for (const part of await leadGroup(id, group, noted.promise)) {
            if ('advanced' in part) timers.push({ id, ...part.advanced });
            for (const event of part.events) {
              if ('error' in part) addFailure(failures, event, part.error);
              else cursors.set(event.stream, Math.max(event.version, cursors.get(event.stream) ?? 0));
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

  /** By saga. Events that concern none are seen; one that can't be understood fails, and nothing behind it in its stream counts. */
  function groupBySaga(fresh: Map<string, RecordedEvent[]>, cursors: Map<string, number>, failures: Failures) {
    const groups = new Map<string, Group>();
    for (const list of fresh.values()) {
      for (const recorded of list) {
        try {
          const concern = concernIn(recorded);
          if (!concern) {
            cursors.set(recorded.stream, recorded.version);
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
   * Leads one saga on with all its events at once. If that fails because of one of them, each is tried by itself, so that
   * only the stream of the one that fails is held up.
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

  /** A run that has the saga's turn until it ends. A slow one that has it already is cut short by one with patience. */
  async function* leadInTurn(task: Task<S, F>): Run {
    const turn = await takeTurn(task.sagaId, task.patienceMs);
    try {
      return yield* lead({ saga, aggregates, clock, signal: turn.signal }, task);
    } finally {
      turn.end();
    }
  }

  /** Notes what a slow run comes to, after the batch that has begun it. Never rejects. */
  async function noteRest(id: string, led: Promise<Led>, noted: Promise<void>): Promise<void> {
    const how = await led.catch(() => undefined);
    if (how?.kind !== 'slow') return;
    try {
      const advanced = await how.rest;
      await noted;
      await writeCursors(database, name, new Map(), [{ id, ...advanced }]);
    } catch (error) {
      log.warn({ handler: name, id, err: error }, 'what a slow step came to is not noted: its timer takes it up');
    }
  }
}
