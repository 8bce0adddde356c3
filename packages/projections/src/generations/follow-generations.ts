/**
 * What a projector role runs for a projection: follows its record, starts a consumer for each generation that is to be
 * fed, stops those of old ones, and drops expired generations.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { type Clock, sleep, systemClock } from '@caudal/kernel/time.ts';
import type { AnyHandler } from '@caudal/messaging/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { generationName, type ProjectorOptions } from '../projector.ts';
import { nameOf } from '../stores/keys.ts';
import type { ViewStore } from '../stores/store.ts';
import { createHandler, removeGeneration } from './generation.ts';
import {
  changeGenerations,
  type Generations,
  heldUntil,
  isExpired,
  isFed,
  maxRecordAgeMs,
  readGenerations,
} from './generations.ts';

export interface FollowGenerationsOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** Starts a consumer: `(handler) => runSubscription({ handler, feed: ..., ... })`. */
  start(handler: AnyHandler): Running;
  /** Deletes what outlives a consumer, such as its queue, before a generation is dropped. May be called again. */
  release(handlerName: string): Promise<void>;
  /** Called after views were written, to invalidate caches. */
  onWritten?: ProjectorOptions<V>['onWritten'];
  clock?: Clock;
  /** How often the record is read; 2,000 ms, which is also the most it may be. */
  everyMs?: number;
}

const log = logger('projections');

/** Starts to follow the record. While the store can't be reached, it keeps to the last record that it has read. */
export function followGenerations<V>(options: FollowGenerationsOptions<V>): Running {
  const { projection, store, start, onWritten, clock = systemClock, everyMs = maxRecordAgeMs } = options;
  if (everyMs > maxRecordAgeMs) throw new Error(`everyMs is ${everyMs}: at most ${maxRecordAgeMs}`);
  const stopping = new AbortController();
  const consumers = new Map<number, Running>();
  const ending = new Map<number, Promise<void>>();
  let record: Generations = { last: 0, generations: [] };
  const now = () => clock().getTime();

  function handlerOf(generation: number): AnyHandler {
    const handler = createHandler({ projection, store, generation, onWritten });
    const hold = async () => {
      const until = heldUntil(record, generation, now());
      if (until !== undefined) await sleep(until - now());
    };
    const held = <R>(handle: (events: RecordedEvent[]) => Promise<R>) => {
      return (events: RecordedEvent[]) => hold().then(() => handle(events));
    };
    if (handler.inOrder) return { ...handler, handle: held(handler.handle) };
    return { ...handler, handle: held(handler.handle) };
  }

  function end(number: number, consumer: Running): void {
    consumers.delete(number);
    ending.set(
      number,
      consumer.stop().finally(() => ending.delete(number)),
    );
  }

  async function look(): Promise<void> {
    // A record that was lost with its store feeds nothing: its names may be used anew.
    const known = (await readGenerations(projection, store)) ?? { last: 0, generations: [] };
    record = known;
    const fed = new Set(known.generations.filter((generation) => isFed(generation, now())).map(({ number }) => number));
    for (const [number, consumer] of consumers) if (!fed.has(number)) end(number, consumer);
    for (const number of fed) if (!consumers.has(number)) consumers.set(number, start(handlerOf(number)));
    // After a suspension a generation may expire while its consumer still runs, which would create its queue again.
    const left = known.generations.filter(({ number }) => !ending.has(number));
    const unused = { ...known, generations: left };
    await dropExpired({ projection, store, release: options.release, record: unused, now: now() });
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await look().catch((error: unknown) => {
        log.warn(
          { projection: nameOf(projection), err: error },
          'the record of generations can not be read: the last one is used',
        );
      });
      // At the same moment as the others of this process, whose records are then read in one call.
      await sleep(everyMs - (performance.now() % everyMs), stopping.signal);
    }
    for (const [number, consumer] of consumers) end(number, consumer);
    await Promise.all(ending.values());
  })();

  return {
    stop() {
      stopping.abort();
      return running;
    },
  };
}

/** Drops expired generations. Any process may do it, even several at once. */
export async function dropExpired<V>(options: {
  projection: AnyProjection<V>;
  store: ViewStore;
  release(handlerName: string): Promise<void>;
  record: Generations;
  now: number;
}): Promise<void> {
  const { projection, store, release, record, now } = options;
  for (const { number } of record.generations.filter((generation) => isExpired(generation, now))) {
    await removeGeneration({ projection, store, release, generation: number });
    // Last: a crash before it does all of this again.
    await changeGenerations(projection, store, (newest) => ({
      ...newest,
      generations: newest.generations.filter((generation) => generation.number !== number),
    }));
    log.info({ generation: generationName(projection, number) }, 'an old generation is dropped');
  }
}
