/**
 * One read: memory, Redis, the store, in this order. Concurrent reads of a key share one load. If it began before a
 * change that is known by now (a mark), they share another one, which began after their call. A read with a consistency
 * token has a load of its own, since that may wait for the view.
 */
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Entry, type LocalTier, markMs } from './local.ts';
import type { SharedTier } from './shared.ts';
import type { CacheResult, Read } from './types.ts';

const refused = counter(
  'cache_fills_refused_total',
  'Loaded values that were not cached, since a newer version was known.',
);

export interface Found {
  entry: Entry;
  source: CacheResult<unknown>['source'];
}

export interface ReaderOptions {
  local: LocalTier;
  shared: SharedTier | undefined;
  namespace: string;
  localTtlMs: number;
}

export function createReader({ local, shared, namespace, localTtlMs }: ReaderOptions) {
  const flights = new Map<string, Promise<Found>>();

  /**
   * How long the entry stays fresh; below 0 if it has expired. Never more than a new one's time, if the clock was set
   * back.
   */
  const goodForMs = <V>({ value, at }: Entry, { ttlMs, absentTtlMs = 0 }: Read<V>) => {
    const freshMs = value === undefined ? absentTtlMs : ttlMs;
    return Math.min(freshMs, at + freshMs - Date.now());
  };
  const isWanted = <V>({ version, value }: Entry, { key, minVersion = 0, satisfies }: Read<V>) =>
    version >= Math.max(minVersion, local.mark(key)) && (!satisfies || (value !== undefined && satisfies(value as V)));

  const keepLocal = <V>(read: Read<V>, entry: Entry): boolean => {
    const leftMs = goodForMs(entry, read);
    const answersUntil = performance.now() + Math.min(leftMs, localTtlMs);
    return local.fill(read.key, entry, { answersUntil, keepMs: leftMs + (read.staleIfErrorMs ?? 0) });
  };

  const fromShared = async <V>({ key, codec }: Read<V>): Promise<Entry | undefined> => {
    const found = await shared?.get(key);
    if (!found) return undefined;
    try {
      return { value: found.data && codec.decode(found.data), version: found.version, at: found.at };
    } catch {
      return undefined;
    }
  };

  const keep = async <V>(read: Read<V>, entry: Entry): Promise<void> => {
    const leftMs = goodForMs(entry, read);
    // The mark that would refuse a load of this length may have expired.
    if (leftMs <= 0 || Date.now() - entry.at > markMs / 2) return;
    if (shared) {
      const data = entry.value === undefined ? undefined : read.codec.encode(entry.value as V);
      const newer = await shared.fill(read.key, { ...entry, data }, leftMs + (read.staleIfErrorMs ?? 0));
      if (newer > 0) local.invalidate(read.key, newer);
    }
    if (!keepLocal(read, entry)) refused.add(1, { cache: namespace });
  };

  /** `old`: the entry that may be served if the store can't be reached. */
  const load = async <V>(read: Read<V>, old: Entry | undefined): Promise<Found> => {
    const at = Date.now();
    let loaded: Awaited<ReturnType<typeof read.load>>;
    try {
      loaded = await read.load();
    } catch (error) {
      const usable = old && isWanted(old, read) && goodForMs(old, read) + (read.staleIfErrorMs ?? 0) > 0;
      if (usable && isTransient(error)) return { entry: old, source: 'stale' };
      throw error;
    }
    const entry = { value: loaded?.value, version: loaded?.version ?? 0, at };
    await keep(read, entry);
    return { entry, source: 'miss' };
  };

  const fetch = async <V>(read: Read<V>, old: Entry | undefined): Promise<Found> => {
    const entry = await fromShared(read);
    if (entry && isWanted(entry, read) && goodForMs(entry, read) > 0) {
      keepLocal(read, entry);
      return { entry, source: 'redis' };
    }
    return load(read, entry ?? old);
  };

  const asShared = ({ entry, source }: Found): Found => ({ entry, source: source === 'miss' ? 'shared' : source });

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
    const flight = fetch(read, old).finally(() => {
      if (flights.get(read.key) === flight) flights.delete(read.key);
    });
    flights.set(read.key, flight);
    return flight;
  };

  return async <V>(read: Read<V>): Promise<Found> => {
    const kept = local.get(read.key);
    if (kept && isWanted(kept.entry, read)) {
      if (performance.now() < kept.answersUntil) return { entry: kept.entry, source: 'local' };
    }
    const conditional = read.minVersion !== undefined || read.satisfies !== undefined;
    return conditional ? fetch(read, kept?.entry) : fetchTogether(read, kept?.entry);
  };
}
