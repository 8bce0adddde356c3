/**
 * Counts that processes share, in Redis: how many calls of a class each caller has made in its present window. A window begins
 * with its first count and ends with its key, by the clock of Redis. docs/limits.md, Rate.
 */
import { readFileSync } from 'node:fs';
import { backoffMs } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { createClient, defineScript } from 'redis';

const log = logger('cache');
const failed = counter(
  'rate_limit_redis_errors_total',
  'Times that counts of calls could not be shared between processes; each then counts for itself',
);

/** Nothing waits for it but the next count. */
const callMs = 50;

export interface CountedCalls {
  key: string;
  calls: number;
  windowMs: number;
}

/** The sum of all processes, and how long its window still lasts. */
export interface CountedWindow {
  count: number;
  leftMs: number;
}

export interface SharedCounts {
  /** Adds to the counts. Undefined if Redis can't be reached or does not answer within 50 ms. Never throws. */
  add(counts: CountedCalls[]): Promise<CountedWindow[] | undefined>;
  /** Closes the connection. */
  stop(): void;
}

/** Connects in the background. `namespace`: that of the system, which may share Redis with others. */
export function openSharedCounts(url: string, namespace: string): SharedCounts {
  const client = createClient({
    url,
    scripts: {
      count: defineScript({
        SCRIPT: readFileSync(new URL('./count.lua', import.meta.url), 'utf8'),
        NUMBER_OF_KEYS: undefined,
        parseCommand(parser, keys: string[], args: string[]) {
          parser.pushKeysLength(keys);
          parser.push(...args);
        },
        transformReply: (reply: unknown) => (reply as unknown[]).map(Number),
      }),
    },
    disableOfflineQueue: true,
    commandsQueueMaxLength: 100,
    pingInterval: 1_000,
    socket: {
      connectTimeout: 1_000,
      socketTimeout: 3_000,
      reconnectStrategy: (retries) => backoffMs(retries + 1, { firstMs: 50, maxMs: 1_000 }),
    },
  });
  let away = false;
  const isAway = (error: unknown) => {
    if (!away) log.warn({ err: error }, 'Redis does not count calls; each process counts for itself');
    away = true;
  };
  client.on('error', isAway);
  client.connect().catch(isAway);
  const keyOf = (key: string) => `caudal:rate:{${namespace}}:${key}`;

  return {
    async add(counts) {
      if (!client.isReady) return undefined;
      const keys = counts.map(({ key }) => keyOf(key));
      const args = counts.flatMap(({ calls, windowMs }) => [String(calls), String(windowMs)]);
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(() => reject(new Error(`Redis did not answer within ${callMs} ms`)), callMs);
      try {
        const sums = await Promise.race([client.count(keys, args), late]);
        away = false;
        return counts.map((_, place) => ({ count: sums[place * 2]!, leftMs: sums[place * 2 + 1]! }));
      } catch (error) {
        failed.add(1);
        isAway(error);
        return undefined;
      } finally {
        clearTimeout(timer);
      }
    },
    stop: () => client.destroy(),
  };
}
