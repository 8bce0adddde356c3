/**
 * Which generations of a projection there are, and which one queries read: one record, changed by compare-and-set,
 * beside the views.
 *
 * A generation's life is all times in the record, so that every process comes to the same answer without being told:
 *
 *   made ──> filled from the logs ──> fed ──> `from`: queries read it ──> `until`: no longer read or fed ──> dropped
 *                                              (the one before gets `until` = `from` + 10 min)
 *
 * `from` is announced ahead, longer than any process caches the record: so all switch at the same moment. Right before
 * it the old generation is held still for a moment (`heldUntil`), so that no query sees something there that the new
 * generation does not have yet. Clocks are taken to agree within that moment.
 */

import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { collectionOf } from '../projector.ts';
import { nameOf } from '../stores/keys.ts';
import { type Collection, MissingCollection, type StoredDocument, type ViewStore } from '../stores/store.ts';
import type { ViewDeclaration } from '../types.ts';

export interface Generation {
  number: number;
  /** Whether consumers feed it. */
  fed: boolean;
  /** When queries begin to read it, in milliseconds since 1970. */
  from?: number;
  /** When they stop, and consumers too. */
  until?: number;
}

export interface Generations {
  /** The highest number that was ever given: none comes back. */
  last: number;
  /** Who is building a generation, and until when that counts unless renewed. */
  builder?: { id: string; until: number };
  generations: Generation[];
}

/** No process may work with a record that is older. */
export const maxRecordAgeMs = 2_000;
/** How long ahead a switch is announced: everybody knows, and the hold before it has its time. */
export const announceMs = 4_000;
const holdMs = 500;
/** After `until` a slow consumer may still finish what it has in flight, before the collection goes. */
const dropAfterMs = 60_000;
/** So much further ahead than it can have been announced: it is of a clock that has been set back since, or is wrong. */
const maxAheadMs = 10_000;

/** Whether a time that is set at most `forMs` ahead is still to come. */
export function isAhead(time: number, now: number, forMs = announceMs): boolean {
  return time > now && time <= now + forMs + maxAheadMs;
}

function hasBegun({ from }: Generation, now: number): boolean {
  return from !== undefined && !isAhead(from, now);
}

/** What queries read at this moment; undefined before the first one is built. */
export function currentOf({ generations }: Generations, now: number): Generation | undefined {
  // By number, in which order they are switched to: `from` may be of different clocks.
  const built = generations.filter(({ from }) => from !== undefined).toSorted((a, b) => a.number - b.number);
  return built.findLast((generation) => hasBegun(generation, now));
}

/** Whether one is there for queries, or will be in a moment. */
export function isBuilt({ generations }: Pick<Generations, 'generations'>): boolean {
  return generations.some(({ from }) => from !== undefined);
}

/** Whether a query that began on it may go on. */
export function isReadable(generation: Generation, now: number): boolean {
  const { until } = generation;
  return hasBegun(generation, now) && (until === undefined || now < until);
}

/** Whether consumers keep it up to date at this moment. */
export function isFed({ fed, until }: Generation, now: number): boolean {
  return fed && (until === undefined || now < until);
}

/** Until when a consumer must leave a generation as it is: a moment before another one takes its place. */
export function heldUntil(record: Generations, number: number, now: number): number | undefined {
  if (currentOf(record, now)?.number !== number) return undefined;
  return record.generations.find(({ from }) => from !== undefined && from > now && from - holdMs <= now)?.from;
}

/** Whether nobody can need it any more. */
export function isExpired({ until }: Generation, now: number): boolean {
  return until !== undefined && now >= until + dropAfterMs;
}

const recordsLayout = { keys: {}, indexes: [] };

/** Kept, since they are read every second, and a collection prepares its statements when it is made. */
const records = new WeakMap<ViewStore, Collection>();

function recordsOf(store: ViewStore): Collection {
  const known = records.get(store) ?? store.collection('generations', recordsLayout);
  records.set(store, known);
  return known;
}

/** The record of a projection; undefined if nothing of it was ever built. */
export async function readGenerations(
  projection: { name: string; version: number },
  store: ViewStore,
): Promise<Generations | undefined> {
  return (await load(projection, store))?.view as Generations | undefined;
}

async function load(
  projection: { name: string; version: number },
  store: ViewStore,
): Promise<StoredDocument | undefined> {
  try {
    return (await recordsOf(store).load([nameOf(projection)]))[0];
  } catch (error) {
    if (error instanceof MissingCollection) return undefined;
    throw error;
  }
}

/**
 * Changes the record; `change` sees the newest one, may be called again, and may throw. Returns what was written. ABORTED
 * if too many others change it.
 */
export async function changeGenerations(
  projection: { name: string; version: number },
  store: ViewStore,
  change: (record: Generations) => Generations,
): Promise<Generations> {
  const records = recordsOf(store);
  await records.create();
  for (let attempt = 1; attempt <= 10; attempt++) {
    const before = await load(projection, store);
    const record = change((before?.view as Generations | undefined) ?? { last: 0, generations: [] });
    const { lost, refused } = await records.save([
      {
        id: nameOf(projection),
        revision: (before?.revision ?? 0) + 1,
        guard: before?.guard,
        streams: {},
        keys: {},
        view: record,
      },
    ]);
    if (refused.length > 0) throw refused[0]!.error;
    if (lost.length === 0) return record;
  }
  throw new CaudalError('ABORTED', 'GENERATIONS_CONTENDED', `Too many others change ${nameOf(projection)}.`);
}

/** What a reader of views sees of the record. */
export interface CurrentGenerations {
  /** What to read now. VIEW_NOT_BUILT (UNAVAILABLE) before the first one is built. */
  current(): Promise<{ number: number; collection: Collection }>;
  /** A certain one, for the next page of a query; undefined if it is not kept any more. */
  named(number: number): Promise<Collection | undefined>;
  /** Reads the record again at the next use. */
  forget(): void;
}

/** Reads the record at most every `cacheMs` (2,000 at most), whoever asks. */
export function currentGenerations<V>(options: {
  projection: ViewDeclaration<V>;
  store: ViewStore;
  cacheMs?: number;
  clock: Clock;
}): CurrentGenerations {
  const { projection, store, cacheMs = maxRecordAgeMs, clock } = options;
  if (cacheMs > maxRecordAgeMs) throw new Error(`cacheMs is ${cacheMs}: at most ${maxRecordAgeMs}`);
  let cached: { at: number; record: Promise<Generations | undefined> } | undefined;

  function record(): Promise<Generations | undefined> {
    const at = performance.now();
    if (cached && at - cached.at < cacheMs) return cached.record;
    const read = { at, record: readGenerations(projection, store) };
    cached = read;
    read.record.catch(() => {
      if (cached === read) cached = undefined;
    });
    return read.record;
  }

  let opened: { number: number; collection: Collection } | undefined;
  /** The last one is kept: opening one makes the statements for it. */
  function collection(number: number): Collection {
    if (opened?.number !== number)
      opened = { number, collection: collectionOf({ projection, store, generation: number }) };
    return opened.collection;
  }

  return {
    async current() {
      const known = await record();
      const current = known && currentOf(known, clock().getTime());
      if (!current) {
        cached = undefined;
        throw new MissingCollection(nameOf(projection));
      }
      return { number: current.number, collection: collection(current.number) };
    },
    async named(number) {
      const known = await record();
      const generation = known?.generations.find((candidate) => candidate.number === number);
      return generation && isReadable(generation, clock().getTime()) ? collection(number) : undefined;
    },
    forget() {
      cached = undefined;
    },
  };
}
