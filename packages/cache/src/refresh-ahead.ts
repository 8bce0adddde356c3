/**
 * Refresh-ahead: a read of an entry that ends soon may load it again, in the background. The chance grows as the end comes near
 * (XFetch: A. Vattani, F. Chierichetti, K. Lowenstein, "Optimal probabilistic cache stampede prevention", 2015), so that what is read
 * often is renewed in time and by one reader, and what is read seldom is not loaded in vain.
 */
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Entry } from './local.ts';
import { freshMs } from './tiers.ts';
import type { Read } from './types.ts';

const log = logger('cache');
const refreshes = counter(
  'cache_refreshes_total',
  'Entries that were to be loaded again before their end, by result: renewed, left (to another process), full (too many at once), failed.',
);

/** More than these at once would be a load of its own on the store; those entries end, and a read loads them. */
const maxAtOnce = 8;
/**
 * How early a renewal is on average, as a part of an entry's time: an entry that is read 500 times in its time is renewed with a
 * chance above 99 %. The paper takes the time of a load, which is so short here that few reads fall into it.
 */
const part = 1 / 50;

export interface RenewalsOptions {
  namespace: string;
  random?: (() => number) | undefined;
  isLoading(key: string): boolean;
  /** Loads it. False if another process does. */
  renew<V>(read: Read<V>): Promise<boolean>;
}

export function createRenewals({ namespace, random = Math.random, isLoading, renew }: RenewalsOptions) {
  const underway = new Set<string>();
  const count = (result: string, { view = '' }: { view?: string }) =>
    refreshes.add(1, { cache: namespace, view, result });

  async function run<V>(read: Read<V>): Promise<void> {
    underway.add(read.key);
    try {
      count((await renew(read)) ? 'renewed' : 'left', read);
    } catch (error) {
      // The entry is served until its end; the read after it meets the error, if it lasts.
      count('failed', read);
      log.debug({ err: error, view: read.view }, 'an entry could not be renewed');
    } finally {
      underway.delete(read.key);
    }
  }

  return {
    /** Renews the entry in the background, or does nothing. */
    consider<V>(read: Read<V>, entry: Entry): void {
      if (entry.value === undefined || underway.has(read.key) || isLoading(read.key)) return;
      if (freshMs(entry, read) > -Math.log(1 - random()) * read.ttlMs * part) return;
      if (underway.size >= maxAtOnce) count('full', read);
      else void run(read);
    },
  };
}
