/**
 * One read: memory, Redis, the store, in this order. Concurrent reads of a key share one load, in this process and, by a claim in
 * Redis, among processes. If it began before a change that is known by now (a mark), they share another one, which began after their
 * call. A read with a consistency token has a load of its own, since that may wait for the view.
 */
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Entry } from './local.ts';
import { createRenewals } from './refresh-ahead.ts';
import { freshMs, type Since, type Tiers } from './tiers.ts';
import type { CacheResult, Read } from './types.ts';

const loads = counter(
  'cache_loads_total',
  'Loads from the store: for reads that missed, and ahead of the end of entries.',
);

export interface Found {
  entry: Entry;
  source: CacheResult<unknown>['source'];
}

export interface ReaderOptions {
  tiers: Tiers;
  namespace: string;
  random?(): number;
}

/** How long a read waits for the load of another process, and how often it looks. */
const othersMs = 500;
const firstLookMs = 5;

export function createReader({ tiers, namespace, random }: ReaderOptions) {
  const flights = new Map<string, Promise<Found>>();

  const isWanted = <V>({ version, value }: Entry, { key, minVersion = 0, satisfies }: Read<V>) =>
    version >= Math.max(minVersion, tiers.mark(key)) && (!satisfies || (value !== undefined && satisfies(value as V)));

  /** `old`: the entry that may be served if the store can't be reached. */
  const load = async <V>(read: Read<V>, { old, since }: { old?: Entry | undefined; since: Since }): Promise<Found> => {
    const at = Date.now();
    let loaded: Awaited<ReturnType<typeof read.load>>;
    loads.add(1, { cache: namespace, view: read.view ?? '' });
    try {
      loaded = await read.load();
    } catch (error) {
      const usable = old && isWanted(old, read) && freshMs(old, read) + (read.staleIfErrorMs ?? 0) > 0;
      if (usable && isTransient(error)) return { entry: old, source: 'stale' };
      throw error;
    }
    const entry =
      read.keep === false
        ? { value: loaded?.value, version: loaded?.version ?? 0, at, bytes: 0, tags: [] }
        : await tiers.keep(read, { loaded, at, since });
    return { entry, source: 'miss' };
  };

  /** The entry in Redis, if it may answer; `known`: whatever is there. */
  const look = async <V>(read: Read<V>) => {
    const { entry: known, since } = await tiers.fromShared(read);
    const isGood = known && isWanted(known, read) && freshMs(known, read) > 0;
    return { known, since, entry: isGood ? known : undefined };
  };

  const fetch = async <V>(read: Read<V>, old: Entry | undefined, alone: boolean): Promise<Found> => {
    let { known, since, entry } = await look(read);
    let claimed = false;
    const until = performance.now() + othersMs;
    for (let waitMs = firstLookMs; !entry && !alone; waitMs *= 2) {
      claimed = await tiers.claim(read.key);
      const leftMs = until - performance.now();
      if (claimed || leftMs <= 0) break;
      await sleep(Math.min(waitMs, leftMs));
      ({ known, since, entry } = await look(read));
    }
    if (entry) {
      tiers.keepLocal(read, entry, since);
      return { entry, source: 'redis' };
    }
    const loading = load(read, { old: known ?? old, since });
    return claimed ? loading.finally(() => void tiers.release(read.key)) : loading;
  };

  const asShared = ({ entry, source }: Found): Found => ({ entry, source: source === 'miss' ? 'shared' : source });

  const asFlight = (key: string, found: Promise<Found>): Promise<Found> => {
    const flight = found.finally(() => {
      if (flights.get(key) === flight) flights.delete(key);
    });
    flights.set(key, flight);
    return flight;
  };

  const fetchTogether = async <V>(read: Read<V>, old: Entry | undefined): Promise<Found> => {
    const underway = flights.get(read.key);
    if (underway) {
      // The read that began the load may have reached its own deadline.
      const found = await underway.then(asShared).catch((error: unknown) => {
        if (!isCode(error, 'CANCELLED', 'DEADLINE_EXCEEDED')) throw error;
      });
      if (found && isWanted(found.entry, read)) return found;
      const later = flights.get(read.key);
      if (later) return later.then(asShared);
    }
    return asFlight(read.key, fetch(read, old, false));
  };

  const renewals = createRenewals({
    namespace,
    random,
    isLoading: (key) => flights.has(key),
    async renew<V>(read: Read<V>): Promise<boolean> {
      if (!(await tiers.claim(read.key))) return false;
      try {
        const since = await tiers.sinceNow(read);
        if (flights.has(read.key)) return false;
        await asFlight(read.key, load(read, { since }));
        return true;
      } finally {
        void tiers.release(read.key);
      }
    },
  });

  return async <V>(read: Read<V>): Promise<Found> => {
    const kept = tiers.local.get(read.key);
    const isAnswer = kept && isWanted(kept.entry, read) && performance.now() < kept.answersUntil;
    const alone = read.minVersion !== undefined || read.satisfies !== undefined || read.keep === false;
    const found: Found = isAnswer
      ? { entry: kept.entry, source: 'local' }
      : await (alone ? fetch(read, kept?.entry, true) : fetchTogether(read, kept?.entry));
    // What is not kept renews nothing: others would get what only this read may be told.
    if (read.refreshAhead && read.keep !== false && (found.source === 'local' || found.source === 'redis'))
      renewals.consider(read, found.entry);
    return found;
  };
}
