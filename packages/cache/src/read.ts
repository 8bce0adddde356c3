/**
 * One read: memory, Redis, the store, in this order.
 *
 * Reads of the same thing at the same time share one load. It may have begun before a change that one of them knows of
 * by now (a mark): then they share another, which began after they asked, and take what it says. A read with a condition
 * of its own (a consistency token) loads for itself, since its load may wait for the view to catch up.
 */
import { isCode, isTransient } from '@caudal/kernel/errors.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Entry, type LocalTier, markMs } from './local.ts';
import type { SharedTier } from './shared.ts';
import type { CacheResult, Read } from './types.ts';

const refused = counter('cache_fills_refused_total', 'Loaded values that were not kept, as something newer was known.');

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

  /** For how long it is still good; below 0, since when it is not. Never longer than a fresh one, if the clock was set back. */
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
    // A mark against a load that took this long may be gone already.
    if (leftMs <= 0 || Date.now() - entry.at > markMs / 2) return;
    if (shared) {
      const data = entry.value === undefined ? undefined : read.codec.encode(entry.value as V);
      const newer = await shared.fill(read.key, { ...entry, data }, leftMs + (read.staleIfErrorMs ?? 0));
      if (newer > 0) local.invalidate(read.key, newer);
    }
    if (!keepLocal(read, entry)) refused.add(1, { cache: namespace });
  };

  /** `old`: what may be served if the store can't be reached. */
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
      // Whoever began it may have run out of time of their own.
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
