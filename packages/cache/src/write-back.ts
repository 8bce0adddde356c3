/**
 * Write-back: changes are gathered in memory and written to a store later, many of a key as one. What a process has gathered is lost if
 * it dies, so this is only for what may be lost or is derived anew, such as counts of who looked at something. docs/caching.md
 */
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const log = logger('cache');
const flushed = counter('write_back_flushed_total', 'Keys whose gathered changes were written to their store.');
const lost = counter('write_back_lost_total', 'Changes that were dropped, since too many keys waited for their store.');

export interface WriteBackOptions<V> {
  /** A label of the metrics. */
  name: string;
  /** Joins two changes of a key. */
  merge(first: V, second: V): V;
  /** Writes them, at most `atOnce`. If it rejects they are kept and written again, so that some may count twice. */
  flush(changes: Map<string, V>): Promise<void>;
  /** How often they are written, in milliseconds: the most that is lost if the process dies; 5,000 if absent. */
  everyMs?: number;
  /** The most keys in memory; with half of them they are written at once; 10,000 if absent. */
  maxKeys?: number;
  /** The most keys of one `flush`; 500 if absent. */
  atOnce?: number;
  /** How long `stop` waits for the last write; 2,000 if absent. */
  stopMs?: number;
}

export interface WriteBack<V> {
  /** Gathers a change. Dropped, and counted as lost, if there is no room. */
  add(key: string, change: V): void;
  /** What was gathered of a key and is not written yet. */
  pending(key: string): V | undefined;
  /** Writes what is left, for a while. Never throws. */
  stop(): Promise<void>;
}

export function openWriteBack<V>(options: WriteBackOptions<V>): WriteBack<V> {
  const { name, merge, flush, everyMs = 5_000, maxKeys = 10_000, atOnce = 500, stopMs = 2_000 } = options;
  let gathered = new Map<string, V>();
  /** On their way to the store. */
  let leaving = new Map<string, V>();
  let running: Promise<void> | undefined;
  let fails = false;

  const put = (key: string, change: V) => {
    const before = gathered.get(key);
    if (before === undefined && gathered.size + leaving.size >= maxKeys) return lost.add(1, { name });
    gathered.set(key, before === undefined ? change : merge(before, change));
  };

  async function writeAll(): Promise<void> {
    leaving = gathered;
    gathered = new Map();
    try {
      while (leaving.size > 0) {
        const batch = new Map([...leaving].slice(0, atOnce));
        await flush(batch);
        for (const key of batch.keys()) leaving.delete(key);
        flushed.add(batch.size, { name });
      }
      fails = false;
    } catch (error) {
      if (!fails) log.warn({ err: error, name }, 'gathered changes could not be written: they are kept');
      fails = true;
      const kept = leaving;
      leaving = new Map();
      for (const [key, change] of kept) put(key, change);
    }
  }

  const run = (): Promise<void> => {
    running ??= writeAll().finally(() => {
      running = undefined;
    });
    return running;
  };
  const timer = setInterval(() => gathered.size > 0 && void run(), everyMs).unref();

  return {
    add(key, change) {
      put(key, change);
      // After a failure the timer sets the pace.
      if (gathered.size >= maxKeys / 2 && !fails) void run();
    },
    pending(key) {
      const [first, second] = [leaving.get(key), gathered.get(key)];
      return first === undefined ? second : second === undefined ? first : merge(first, second);
    },
    async stop() {
      clearInterval(timer);
      const last = async () => {
        await running;
        if (gathered.size > 0) await run();
      };
      await within(stopMs, last());
    },
  };
}
