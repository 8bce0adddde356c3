/**
 * What another system says, read again as it grows old: keys of an issuer, the list of revocations. Calls cause the reads, so an
 * idle process asks nothing; and after an idle time the first call waits, so that it is not decided on what was true long ago.
 *
 *   fresh (20 s) ──> read in the background ──(40 s)──> callers wait for the read
 *   the read fails: the last value, at once, until it is too stale; asked for again every 5 s
 */
import { logger } from '@caudal/telemetry/log.ts';

export interface RefreshedOptions<T> {
  /** For the log: `the keys of https://issuer.test/jwks`. */
  name: string;
  /** Reads the value. It must end by itself in a few seconds. If it returns `before`, nothing has changed. */
  read(before: T | undefined): Promise<T>;
  /** The age up to which a value is used while reads fail, in milliseconds. */
  maxStaleMs: number;
  /** A value that was read just now. */
  initial?: { value: T };
  /** Whether failures are not logged, since they are those of another source. */
  quiet?: boolean;
}

export interface Refreshed<T> {
  /** The value, without waiting if it is new enough. Rejects with the read's error if there is none that may be used. */
  get(): T | Promise<T>;
  /** Reads again, unless that was done in the last `atMostEveryMs`; like `get` if the read fails. */
  renew(atMostEveryMs: number): T | Promise<T>;
}

/** The age at which a value is read again in the background. */
export const freshMs = 20_000;
/** The age from which callers wait for the read. With a read's own time it stays below a minute. */
export const waitMs = 40_000;
/** The pause after a read that failed. */
export const retryMs = 5_000;

const log = logger('rpc');

export function refreshed<T>({ name, read, maxStaleMs, initial, quiet = false }: RefreshedOptions<T>): Refreshed<T> {
  let known = initial && { value: initial.value, at: Date.now() };
  let failed: { error: unknown; at: number } | undefined;
  let reading: Promise<T> | undefined;

  const start = (): Promise<T> => {
    reading ??= readOnce().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  async function readOnce(): Promise<T> {
    // What is read is true for this moment, not for the one in which it arrives.
    const at = Date.now();
    try {
      const value = await read(known?.value);
      if (failed && !quiet) log.info({ source: name }, 'can be read again');
      known = { value, at };
      failed = undefined;
      return value;
    } catch (error) {
      if (!failed && !quiet)
        log.error({ err: error, source: name, used: known !== undefined }, "can't be read: trying again");
      failed = { error, at };
      throw error;
    }
  }

  /** The clock may go back: then the value's age is not known. */
  const ageOf = (at: number) => (Date.now() < at ? waitMs : Date.now() - at);
  const isPausing = () => failed !== undefined && ageOf(failed.at) < retryMs;
  const usable = (error: unknown): T => {
    if (known && ageOf(known.at) <= maxStaleMs) return known.value;
    throw error;
  };
  const inBackground = () => {
    if (!isPausing()) start().catch(() => {});
  };

  const get = (): T | Promise<T> => {
    const age = known ? ageOf(known.at) : Number.POSITIVE_INFINITY;
    if (known && age < freshMs) return known.value;
    // While the other system is away, calls are not held up by each further attempt.
    if (known && (age < waitMs || (failed && age <= maxStaleMs))) {
      inBackground();
      return known.value;
    }
    return isPausing() ? Promise.reject(failed!.error) : start().catch(usable);
  };

  return {
    get,
    renew(atMostEveryMs) {
      if (known && ageOf(known.at) < atMostEveryMs) return known.value;
      return isPausing() ? get() : start().catch(usable);
    },
  };
}
