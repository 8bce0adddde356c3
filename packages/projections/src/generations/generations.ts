/**
 * Which generations of a projection there are, and which one queries read: one record beside the views, changed by
 * compare-and-set.
 *
 * The record holds times for every change, so that all processes reach the same result without messages:
 *
 *   made ──> filled from the logs ──> fed ──> `from`: queries read it ──> `until`: no longer read or fed ──> dropped
 *                                              (the one before gets `until` = `from` + 10 min)
 *
 * `from` is announced earlier than any process caches the record, so all switch at the same moment. For 0.5 s before it
 * the consumers of the old generation pause (`heldUntil`), so that no query sees an event there that the new generation
 * does not have yet. Clocks must agree within that time.
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
  /** When they stop, and consumers too. Of an unfinished one: when it is given up, unless a builder goes on with it. */
  until?: number;
  /** While it is unfinished: how it is built. */
  build?: Build;
}

/** The building of a generation, by one builder after the other. */
export interface Build {
  /** Its progress has the same. */
  id: string;
  /** Counts the builders. */
  attempt: number;
  /** How many parts it is filled in. */
  parts: number;
  /** Of the projection (code.ts). */
  code: string;
}

export interface Generations {
  /** The highest number that was ever given: none is used again. */
  last: number;
  /** The process that builds a generation, and when its lease ends unless renewed. */
  builder?: { id: string; until: number };
  generations: Generation[];
}

/** No process may use a record that is older. */
export const maxRecordAgeMs = 2_000;
/** How long ahead a switch is announced: every process has read it by then, and the hold before it fits in. */
export const announceMs = 4_000;
const holdMs = 500;
/** Longer than the last write of a rebuild may take, by the stores' time-outs. */
const settledAfterMs = 30_000;
/** After `until` a slow consumer may still finish what it has in flight, before the collection goes. */
const dropAfterMs = 60_000;
/**
 * A time that is further ahead than its announcement by this much is from a clock that was wrong, or set back since.
 */
const maxAheadMs = 10_000;

/** Whether a time that is set at most `forMs` ahead is in the future. */
export function isAhead(time: number, now: number, forMs = announceMs): boolean {
  return time > now && time <= now + forMs + maxAheadMs;
}

function hasBegun({ from }: Generation, now: number): boolean {
  return from !== undefined && !isAhead(from, now);
}

/** What queries read at this moment; undefined before the first one is built. */
export function currentOf({ generations }: Generations, now: number): Generation | undefined {
  // By number, which is the order of the switches: each `from` may be of another clock.
  const built = generations.filter(({ from }) => from !== undefined).toSorted((a, b) => a.number - b.number);
  return built.findLast((generation) => hasBegun(generation, now));
}

/** Whether there is one for queries, or will be within seconds. */
export function isBuilt({ generations }: Pick<Generations, 'generations'>): boolean {
  return generations.some(({ from }) => from !== undefined);
}

/** Whether a builder may go on with it. */
export function isUnfinished(generation: Generation, now: number): generation is Generation & { build: Build } {
  const { from, until, build } = generation;
  return build !== undefined && from === undefined && until !== undefined && now < until;
}

/** Whether a query that began on it may continue. */
export function isReadable(generation: Generation, now: number): boolean {
  const { until } = generation;
  return hasBegun(generation, now) && (until === undefined || now < until);
}

/**
 * Whether only consumers write it. A rebuild's last batch may arrive after the switch, and invalidates no cache. The
 * longest that a store takes for a write is less.
 */
function isSettled({ from }: Generation, now: number): boolean {
  return from !== undefined && now >= from + settledAfterMs;
}

/** Whether consumers keep it up to date at this moment. */
export function isFed({ fed, until }: Generation, now: number): boolean {
  return fed && (until === undefined || now < until);
}

/** Until when a consumer must not write to a generation: from 0.5 s before another one replaces it. */
export function heldUntil(record: Generations, number: number, now: number): number | undefined {
  if (currentOf(record, now)?.number !== number) return undefined;
  return record.generations.find(({ from }) => from !== undefined && from > now && from - holdMs <= now)?.from;
}

/** Whether no query and no consumer can need it any more. */
export function isExpired({ until }: Generation, now: number): boolean {
  return until !== undefined && now >= until + dropAfterMs;
}

const recordsLayout = { keys: {}, indexes: [] };

interface Records {
  collection: Collection;
  /** The record of this name. Calls in one turn of the event loop share one read. */
  load(name: string): Promise<StoredDocument | undefined>;
}

/** Kept, since they are read every two seconds, and opening a collection prepares its statements. */
const records = new WeakMap<ViewStore, Records>();

function recordsOf(store: ViewStore): Records {
  const known = records.get(store) ?? openRecords(store.collection('generations', recordsLayout));
  records.set(store, known);
  return known;
}

function openRecords(collection: Collection): Records {
  let next: { names: Set<string>; documents: Promise<StoredDocument[]> } | undefined;
  async function readLater(names: Set<string>): Promise<StoredDocument[]> {
    await new Promise((resolve) => setImmediate(resolve));
    next = undefined;
    return collection.load([...names]);
  }
  return {
    collection,
    async load(name) {
      if (!next) {
        const names = new Set<string>();
        next = { names, documents: readLater(names) };
      }
      next.names.add(name);
      return (await next.documents).find(({ id }) => id === name);
    },
  };
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
    return await recordsOf(store).load(nameOf(projection));
  } catch (error) {
    if (error instanceof MissingCollection) return undefined;
    throw error;
  }
}

/**
 * Changes the record. `change` gets the newest one, may be called again, and may throw. Returns what was written.
 * ABORTED if too many other processes change it.
 */
export async function changeGenerations(
  projection: { name: string; version: number },
  store: ViewStore,
  change: (record: Generations) => Generations,
): Promise<Generations> {
  const { collection } = recordsOf(store);
  await collection.create();
  for (let attempt = 1; attempt <= 10; attempt++) {
    const before = await load(projection, store);
    const record = change((before?.view as Generations | undefined) ?? { last: 0, generations: [] });
    const { lost, refused } = await collection.save([
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
  throw new CaudalError(
    'ABORTED',
    'GENERATIONS_CONTENDED',
    `Too many other processes change ${nameOf(projection)}: try again.`,
  );
}

export interface CurrentGeneration {
  number: number;
  collection: Collection;
  /** False for 30 s after the switch: until then a write may have invalidated no cache. */
  settled: boolean;
}

/** What a reader of views sees of the record. */
export interface CurrentGenerations {
  /** The one to read now. VIEW_NOT_BUILT (UNAVAILABLE) before the first one is built. */
  current(): Promise<CurrentGeneration>;
  /** The one of this number, for the next page of a query; undefined if it is no longer readable. */
  named(number: number): Promise<Collection | undefined>;
  /** Reads the record again at the next use. */
  forget(): void;
}

/** Reads the record at most every `cacheMs` (2,000 at most) for all callers together. */
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
  /** The last one is kept, since opening one prepares its statements. */
  function collection(number: number): Collection {
    if (opened?.number !== number)
      opened = { number, collection: collectionOf({ projection, store, generation: number }) };
    return opened.collection;
  }

  return {
    async current() {
      const known = await record();
      const now = clock().getTime();
      const current = known && currentOf(known, now);
      if (!current) {
        cached = undefined;
        throw new MissingCollection(nameOf(projection));
      }
      return { number: current.number, collection: collection(current.number), settled: isSettled(current, now) };
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
