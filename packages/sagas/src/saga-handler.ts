/**
 * A process as a handler of events: it gets the events that it observes, leads the processes they belong to on, and notes
 * what was seen and what is due before the events count as handled. A crash at any point repeats the events; see
 * advance.ts for why that is safe.
 *
 * A batch does not wait for steps that are slow. Once what its events brought is durable, a timer stands in for the step,
 * should its end never be heard of, and it goes on beside the next batches. Its process's next event cuts it short: it is
 * run again with that event known. Of steps that hang only some are begun at all (bulkhead.ts), so what goes on beside
 * the batches is bounded too.
 */

import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type EventCase, entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import { occurredAt, originOf } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent, keyedQueue } from '@caudal/kernel/concurrency.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { type Advanced, advance, type Observed, type Patience } from './advance.ts';
import { SLOW_MS, withBulkhead } from './bulkhead.ts';
import { type DueTimer, readCursors, seenOf, writeCursors } from './cursor-store.ts';
import { addFailure, type Failures, sortOut, unfinishedOf } from './seen.ts';
import type { Saga, TimerChange } from './types.ts';

const log = logger('process');

/** A handler whose timers fire. */
export interface TimedHandler extends EventHandler {
  /** Does what is due for one of its ids; says when to look again. */
  fire(timer: DueTimer): Promise<Advanced>;
  /** Waits for what goes on beside the batches. Once the process's signal has fired, that is soon over. */
  settled(): Promise<void>;
}

export interface SagaHandlerOptions<S, M extends EventCase> {
  saga: Saga<S, M>;
  /** Of the context that the process belongs to. */
  aggregates: Aggregates;
  database: Database;
  clock: Clock;
  /** Ends the steps that are under way. */
  signal: AbortSignal;
  /** How many processes are led on at the same time; 64 if absent. */
  concurrency?: number;
  /** How long a batch waits for a process, in milliseconds; 1,000 if absent. */
  patienceMs?: number;
}

/** The process `process` as an event handler. Its name is `<name>.process`. */
export function createSagaHandler<S, M extends EventCase>(options: SagaHandlerOptions<S, M>): TimedHandler {
  const { database, aggregates, clock, signal, concurrency = 64, patienceMs = SLOW_MS } = options;
  const saga = withBulkhead(options.saga, patienceMs);
  const name = `${saga.name}.process`;
  const observations = new Map(saga.observes.map((observation) => [observation.entity.name, observation]));
  const inTurn = keyedQueue();
  /** Cuts short what is being done for a process. */
  const underWay = new Map<string, AbortController>();
  /** What goes on beside the batches. */
  const beside = new Set<Promise<void>>();
  type Group = { recorded: RecordedEvent; observed: Observed<S, M> }[];

  return {
    name,
    entities: [...observations.keys()],

    async handle(events) {
      const { fresh, gaps } = sortOut(
        events,
        await readCursors(database, name, [...new Set(events.map((e) => e.stream))]),
      );
      const failures: Failures = new Map();
      const cursors = new Map<string, number>();
      const timers: TimerChange[] = [];
      const groups = new Map<string, Group>();
      const noted = Promise.withResolvers<void>();

      for (const [stream, list] of fresh) {
        for (const recorded of list) {
          const observed = observe(recorded, failures);
          if (observed === 'failed') break;
          if (!observed) {
            cursors.set(stream, recorded.version);
            continue;
          }
          const group = groups.get(observed.saga) ?? [];
          group.push({ recorded, observed: observed.observed });
          groups.set(observed.saga, group);
        }
      }

      try {
        await forEachConcurrent(groups, concurrency, async ([id, group]) => {
          for (const part of await lead(id, group, noted.promise)) {
            if (part.advanced) timers.push({ id, ...part.advanced });
            for (const event of part.events) {
              if (part.error) addFailure(failures, event, part.error);
              else cursors.set(event.stream, Math.max(event.version, cursors.get(event.stream) ?? 0));
            }
          }
        });
        for (const { event } of failures.values()) capCursor(cursors, event);
        await writeCursors(database, name, cursors, timers);
      } finally {
        noted.resolve();
      }
      return unfinishedOf(failures, gaps);
    },

    seen: (heads) => seenOf(database, name, heads),

    fire: ({ id, retries }) => run(id, [], retries, new AbortController()),

    async settled() {
      await Promise.all(beside);
    },
  };

  /** Leads a process on in its turn. `cut` ends it early. */
  function run(id: string, observed: Observed<S, M>[], retries: number, cut: AbortController, patience?: Patience) {
    return inTurn(id, async () => {
      const onAbort = () => cut.abort(signal.reason);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      underWay.set(id, cut);
      try {
        return await advance({ saga, aggregates, clock, signal: cut.signal }, id, observed, retries, patience);
      } finally {
        underWay.delete(id);
        signal.removeEventListener('abort', onAbort);
      }
    });
  }

  /**
   * Leads a process on until it comes to rest, or has a slow step left, which then goes on by itself; what comes of that is
   * noted after the batch (`noted`). A slow step that is under way already is cut short.
   */
  function runPatiently(id: string, observed: Observed<S, M>[], noted: Promise<void>): Promise<Advanced> {
    const { promise, resolve, reject } = Promise.withResolvers<Advanced>();
    let isLetGo = false;
    const cut = new AbortController();
    const cutting = setInterval(() => {
      const other = underWay.get(id);
      if (other !== cut) other?.abort();
    }, patienceMs);
    const patience: Patience = {
      ms: patienceMs,
      letGo(meanwhile) {
        isLetGo = true;
        resolve(meanwhile);
      },
    };
    const wholly = (async () => {
      try {
        const advanced = await run(id, observed, 0, cut, patience);
        if (!isLetGo) return resolve(advanced);
        await noted;
        await writeCursors(database, name, new Map(), [{ id, ...advanced }]);
      } catch (error) {
        if (!isLetGo) return reject(error);
        log.warn({ handler: name, id, err: error }, 'what a slow step came to is not noted: its timer takes it up');
      }
    })().finally(() => beside.delete(wholly));
    beside.add(wholly);
    return promise.finally(() => clearInterval(cutting));
  }

  /**
   * Leads one process on with all its events at once. If that fails because of one of them, each is tried by itself, so
   * that only the stream of the one that fails is held up.
   */
  async function lead(
    id: string,
    group: Group,
    noted: Promise<void>,
  ): Promise<{ events: RecordedEvent[]; advanced?: Advanced; error?: unknown }[]> {
    const events = group.map(({ recorded }) => recorded);
    const observed = group.map((item) => item.observed);
    try {
      return [{ events, advanced: await runPatiently(id, observed, noted) }];
    } catch (error) {
      if (isTransient(error)) throw error;
      if (group.length === 1) return [{ events, error }];
    }
    const parts = [];
    const failed = new Set<string>();
    for (const item of group) {
      if (failed.has(item.recorded.stream)) continue;
      const [part] = await lead(id, [item], noted);
      if (part!.error) failed.add(item.recorded.stream);
      parts.push(part!);
    }
    return parts;
  }

  /** Undefined: no process of ours; 'failed': not understood, and noted so. */
  function observe(recorded: RecordedEvent, failures: Failures) {
    const observation = observations.get(entityOfStream(recorded.stream));
    if (!observation) return undefined;
    try {
      const event = {
        stream: recorded.stream,
        id: idOfStream(recorded.stream),
        version: recorded.version,
        at: occurredAt(recorded),
        event: observation.entity.decode(recorded),
      };
      const id = observation.saga(event);
      if (id === undefined) return undefined;
      return { saga: id, observed: { observation, event, origin: originOf(recorded, `service:${saga.name}`) } };
    } catch (error) {
      addFailure(failures, recorded, error);
      return 'failed' as const;
    }
  }
}

/** What failed, and all behind it in its stream, stays unseen, even if another process has taken a later event of it. */
function capCursor(cursors: Map<string, number>, failed: RecordedEvent): void {
  const seen = cursors.get(failed.stream);
  if (seen === undefined || seen < failed.version) return;
  if (failed.version === 1) cursors.delete(failed.stream);
  else cursors.set(failed.stream, failed.version - 1);
}
