/**
 * What a process remembers for moments: pages of parcels, so that one which many people look at costs next to no reads, and what was learnt
 * of lanes, so that a page costs one read in place of two. Nothing drops an entry before its time. docs/tracking.md, Reading.
 */
import { type CacheOptions, openCache } from '@caudal/cache/cache.ts';
import { type CacheCodec, jsonCodec } from '@caudal/cache/codec.ts';
import { Parcel } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { Sketch } from '../domain/eta.ts';
import { readSketches } from '../store/transit-sketches.ts';

/** How much a page may be behind its row, in milliseconds. */
export const pageMs = 100;
/** The same for what was learnt of a lane: one parcel more changes next to nothing. */
export const lanesMs = 10_000;

const maxBytes = 8 * 2 ** 20;
const maxEntries = 10_000;

/** A page, and whose it is: each caller is still asked for the right to read it. */
export interface Page {
  customer: string | undefined;
  parcel: Parcel;
}

/** Its length is what the memory is bounded by. */
const pageCodec: CacheCodec<Page> = {
  encode: ({ customer, parcel }) => Parcel.encode({ ...parcel, customerId: customer ?? '' }).finish(),
  decode(data) {
    const parcel = Parcel.decode(data);
    return { customer: parcel.customerId || undefined, parcel };
  },
};

type Sketches = (Sketch | undefined)[];
const sketchesCodec = jsonCodec<Sketches>({ toJSON: (sketches) => sketches, fromJSON: (json) => json as Sketches });

/** Remembers what `load` gives for `ttlMs`. Calls at the same time share one load; failures are not remembered. */
function remember<Value>(options: CacheOptions & { ttlMs: number; codec: CacheCodec<Value> }) {
  const { ttlMs, codec } = options;
  const opened = openCache(options);
  return async (key: string, load: () => Promise<Value>): Promise<{ value: Value; ageMs: number }> => {
    const cache = await opened;
    // Nothing is invalidated, so one version does: what is loaded later replaces what was loaded before.
    const read = await cache.read({ key, ttlMs, codec, load: async () => ({ value: await load(), version: 1 }) });
    return { value: read.value!, ageMs: read.source === 'miss' ? 0 : read.ageMs };
  };
}

export const rememberPages = () =>
  remember({ namespace: 'parcel-pages', ttlMs: pageMs, localTtlMs: pageMs, codec: pageCodec, maxEntries, maxBytes });

/** Reads what was learnt of these keys (`sketchKeys`), in their order. */
export type ReadLearnt = (keys: readonly string[]) => Promise<Sketches>;

export function rememberLearnt(database: Pick<Transaction, 'query'>): ReadLearnt {
  const read = remember({
    ...{ namespace: 'parcel-lanes', ttlMs: lanesMs, localTtlMs: lanesMs },
    ...{ codec: sketchesCodec, maxEntries, maxBytes },
  });
  // The first is the narrowest, from which the others follow.
  return async (keys) => (await read(keys[0]!, () => readSketches(database, keys))).value;
}
