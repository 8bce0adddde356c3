/** The two tiers together: how an entry gets into them, and for how long it is good. */
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Entry, type LocalTier, markMs } from './local.ts';
import type { SharedTier } from './shared.ts';
import { maxTaggedMs } from './shared-tags.ts';
import type { Keyed, Read, Written } from './types.ts';

const refused = counter(
  'cache_fills_refused_total',
  'Loaded values that were not cached, since a newer version was known or a tag of theirs had been dropped.',
);

/** What was known when a load began: drops of tags after it refuse what was loaded. */
export interface Since {
  local: number;
  /** By the clock of Redis; only for reads with tags, and if Redis could be reached. */
  shared: string | undefined;
}

interface Loaded<V> {
  loaded: { value: V; version: number } | undefined;
  at: number;
  since: Since;
}

/**
 * How long the entry stays fresh; below 0 if it has expired. Never more than a new one's time, if the clock was set back.
 */
export function freshMs<V>({ value, at }: Entry, { ttlMs, absentTtlMs = 0 }: Keyed<V> & Partial<Read<V>>): number {
  const ofNew = value === undefined ? absentTtlMs : ttlMs;
  return Math.min(ofNew, at + ofNew - Date.now());
}

export interface TiersOptions {
  local: LocalTier;
  shared: SharedTier | undefined;
  namespace: string;
  localTtlMs: number;
}

export function openTiers({ local, shared, namespace, localTtlMs }: TiersOptions) {
  const tagsOf = <V>({ tags }: Keyed<V>, value: V | undefined) => (value === undefined ? [] : (tags?.(value) ?? []));
  const kept = <V>({ staleIfErrorMs = 0, tags }: Keyed<V>, leftMs: number) =>
    Math.min(leftMs + staleIfErrorMs, tags ? maxTaggedMs : Infinity);

  function keepLocal<V>(read: Keyed<V>, entry: Entry, { local: since }: Since): boolean {
    const leftMs = freshMs(entry, read);
    const answersUntil = performance.now() + Math.min(leftMs, localTtlMs);
    return local.fill(read.key, entry, { answersUntil, keepMs: kept(read, leftMs), since });
  }

  async function fromShared<V>(read: Read<V>): Promise<{ entry: Entry | undefined; since: Since }> {
    const moment = local.moment();
    if (!shared) return { entry: undefined, since: { local: moment, shared: undefined } };
    const answer = read.tags
      ? await shared.getTagged(read.key)
      : { entry: await shared.get(read.key), since: undefined };
    const since = { local: moment, shared: answer?.since };
    const found = answer?.entry;
    if (!found) return { entry: undefined, since };
    try {
      const value = found.data && read.codec.decode(found.data);
      const { version, at } = found;
      const entry = { value, version, at, bytes: found.data?.length ?? 0, tags: tagsOf(read, value) };
      return { entry, since };
    } catch {
      return { entry: undefined, since };
    }
  }

  /** Stores what was loaded or written, unless it may be out of date; the entry that it makes. */
  async function keep<V>(read: Keyed<V>, { loaded, at, since }: Loaded<V>): Promise<Entry> {
    const value = loaded?.value;
    const entry: Entry = { value, version: loaded?.version ?? 0, at, bytes: 0, tags: tagsOf(read, value) };
    const leftMs = freshMs(entry, read);
    // The mark that would refuse a load of this length may have expired.
    if (leftMs <= 0 || Date.now() - at > markMs / 2) return entry;
    const data = value === undefined ? undefined : read.codec.encode(value);
    entry.bytes = data?.length ?? 0;
    let stored = true;
    if (shared && !(read.tags && since.shared === undefined)) {
      const tagged = read.tags && { tags: entry.tags, since: since.shared! };
      const newer = await shared.fill(read.key, { version: entry.version, at, data }, kept(read, leftMs), tagged);
      if (newer > 0) local.invalidate(read.key, newer);
      stored = newer >= 0;
    }
    if (!stored || !keepLocal(read, entry, since)) refused.add(1, { cache: namespace });
    return entry;
  }

  /** What is known now, for a load that does not depend on what the tiers have. */
  async function sinceNow<V>({ key, tags }: Keyed<V>): Promise<Since> {
    const moment = local.moment();
    return { local: moment, shared: tags ? (await shared?.getTagged(key))?.since : undefined };
  }

  return {
    local,
    mark: local.mark,
    keepLocal,
    keep,
    fromShared,
    sinceNow,
    /** Whether this process should load the view now: false if another one is loading it. */
    claim: async (key: string): Promise<boolean> => (shared ? shared.claim(key) : true),
    release: async (key: string): Promise<void> => shared?.release(key),
    /** Stores values that were just written, and reports their versions. */
    async write<V>(written: Written<V>[]): Promise<void> {
      const at = Date.now();
      const keepOne = async (one: Written<V>) =>
        keep(one, { loaded: { value: one.value, version: one.version }, at, since: await sinceNow(one) });
      await Promise.all(written.map(keepOne));
    },
  };
}

export type Tiers = ReturnType<typeof openTiers>;
