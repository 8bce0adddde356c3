/**
 * The cache that processes share, in Redis. A view has two keys, in one cluster slot: the entry (`version|time|1|data`)
 * and the mark that an invalidation leaves. Every change is one Lua script, so it is atomic. An unreachable Redis must
 * not slow reads: see README, What it guarantees, for the bounds.
 */
import { readFileSync } from 'node:fs';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { createClient, defineScript, RESP_TYPES } from 'redis';
import { markMs } from './local.ts';
import { sharedTags, type Tagged } from './shared-tags.ts';

const log = logger('cache');
const failed = counter('cache_redis_errors_total', 'Calls of the shared cache that failed or took too long.');

/** An entry in Redis. */
export interface SharedEntry {
  version: number;
  at: number;
  /** Undefined if the view does not exist. */
  data: Uint8Array | undefined;
}

const callMs = 50;
const invalidateMs = 500;
const pauseMs = 1_000;
const failuresToPause = 3;
const claimMs = 1_000;
const maxPending = 10_000;
const invalidationsAtOnce = 100;

/** The version that the view of a key has reached. */
export interface Invalidation {
  key: string;
  version: number;
}

type Arguments = (string | Buffer)[];
const script = <T>(file: string, transformReply: (reply: unknown) => T) =>
  defineScript({
    SCRIPT: readFileSync(new URL(file, import.meta.url), 'utf8'),
    NUMBER_OF_KEYS: undefined,
    parseCommand(parser, keys: string[], args: Arguments) {
      parser.pushKeysLength(keys);
      parser.push(...args);
    },
    transformReply,
  });

function connect(url: string) {
  const client = createClient({
    url,
    scripts: {
      fill: script('./fill.lua', Number),
      invalidate: script('./invalidate.lua', Number),
      getTagged: script('./get-tagged.lua', (reply) => reply as Buffer[]),
      dropTags: script('./drop-tags.lua', Number),
    },
    // Entries are bytes.
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer }, timeout: undefined },
    disableOfflineQueue: true,
    commandsQueueMaxLength: 1_000,
    // A connection on which no answer arrives is closed.
    pingInterval: 1_000,
    socket: {
      connectTimeout: 1_000,
      socketTimeout: 3_000,
      reconnectStrategy: (retries) => backoffMs(retries + 1, { firstMs: 50, maxMs: 1_000 }),
    },
  });
  let away = false;
  client.on('error', (error: unknown) => {
    if (!away) log.warn({ err: error }, 'Redis is unreachable; continuing without it');
    away = true;
  });
  client.on('ready', () => {
    if (away) log.info('Redis is reachable again');
    away = false;
  });
  return client;
}

/** The call's answer. Throws if it takes longer than `ms`. */
async function within<T>(ms: number, call: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const error = new Error(`Redis did not answer within ${ms} ms`);
  // Not at once: if this process was blocked, the answer may have arrived, and is processed after the timers.
  const timer = setTimeout(() => setImmediate(reject, error), ms);
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

function toBytes({ version, at, data }: SharedEntry): Buffer {
  return Buffer.concat([Buffer.from(`${version}|${at}|${data ? 1 : 0}|`), data ?? Buffer.alloc(0)]);
}

function fromBytes(bytes: Buffer): SharedEntry | undefined {
  const header = /^(\d+)\|(\d+)\|([01])\|/.exec(bytes.toString('latin1', 0, 50));
  if (!header) return undefined;
  const data = header[3] === '1' ? bytes.subarray(header[0].length) : undefined;
  return { version: Number(header[1]), at: Number(header[2]), data };
}

/** What other processes have told. */
export interface Heard {
  invalidate(key: string, version: number): void;
  dropTag(tag: string): void;
}

/** Waits at most a second for the first connection. `heard` is called for every invalidation, from any process. */
export async function sharedTier(url: string, namespace: string, heard: Heard) {
  const client = connect(url);
  const subscriber = client.duplicate();
  subscriber.on('error', () => {});
  const channel = `caudal:cache:${namespace}:invalidated`;
  const keysOf = (key: string) => {
    const slot = `caudal:cache:{${namespace}:${key}}`;
    return [`${slot}:entry`, `${slot}:mark`];
  };
  const tagsKeyOf = (key: string) => `caudal:cache:{${namespace}:${key}}:tags`;
  const claimKeyOf = (key: string) => `caudal:cache:{${namespace}:${key}}:load`;

  let failures = 0;
  let failedAt = 0;
  let pausedUntil = 0;
  /** The answer of a call; undefined if Redis can't be reached. */
  const ask = async <T>(ms: number, call: () => Promise<T>): Promise<T | undefined> => {
    const now = performance.now();
    if (!client.isReady) return undefined;
    if (failures >= failuresToPause) {
      if (now < pausedUntil) return undefined;
      // This call is the probe. The others continue without Redis.
      pausedUntil = now + pauseMs;
    }
    try {
      const answer = await within(ms, call());
      failures = 0;
      return answer;
    } catch (error) {
      failed.add(1, { cache: namespace });
      pausedUntil = performance.now() + pauseMs;
      // The call was in flight when another one failed: both count as one failure.
      if (now < failedAt) return undefined;
      failedAt = performance.now();
      failures++;
      if (failures === failuresToPause) log.warn({ err: error }, 'Redis fails; one call a second is tried');
      return undefined;
    }
  };

  const pending = new Map<string, number>();
  const tell = async (invalidations: Invalidation[]): Promise<void> => {
    for (let place = 0; place < invalidations.length; place += invalidationsAtOnce) {
      const batch = invalidations.slice(place, place + invalidationsAtOnce);
      const message = JSON.stringify(batch.map(({ key, version }) => [key, version]));
      const args = [String(markMs), channel, message, ...batch.map(({ version }) => String(version))];
      const keys = batch.flatMap(({ key }) => keysOf(key));
      const told = await ask(invalidateMs, () => client.invalidate(keys, args));
      if (told !== undefined) continue;
      for (const { key, version } of batch) {
        pending.set(key, Math.max(version, pending.get(key) ?? 0));
        if (pending.size > maxPending) pending.delete(pending.keys().next().value!);
      }
    }
  };
  const tags = sharedTags({
    namespace,
    isReady: () => client.isReady,
    drop: (keys, args) => ask(invalidateMs, () => client.dropTags(keys, args as Arguments)),
  });
  const retry = setInterval(() => {
    tags.retry();
    if (!client.isReady || pending.size === 0) return;
    const batch = [...pending].slice(0, 1_000).map(([key, version]) => ({ key, version }));
    for (const { key } of batch) pending.delete(key);
    void tell(batch);
  }, 250).unref();

  const connected = Promise.allSettled([
    client.connect(),
    subscriber.connect().then(() =>
      subscriber.subscribe([channel, tags.channel], (message, from) => {
        const told = JSON.parse(message) as [string, number][] | string[];
        if (from === tags.channel) for (const tag of told as string[]) heard.dropTag(tag);
        else for (const [key, version] of told as [string, number][]) heard.invalidate(key, version);
      }),
    ),
  ]);
  const waiting = new AbortController();
  await Promise.race([connected, sleep(1_000, waiting.signal)]);
  waiting.abort();

  return {
    /** The entry in Redis, however old; undefined if there is none or Redis can't be reached. */
    async get(key: string): Promise<SharedEntry | undefined> {
      const bytes = (await ask(callMs, () => client.get(keysOf(key)[0]!))) as Buffer | null | undefined;
      return bytes ? fromBytes(bytes) : undefined;
    },
    /** The same of an entry with tags, and since when a load would begin; undefined if Redis can't be reached. */
    async getTagged(key: string): Promise<{ entry: SharedEntry | undefined; since: string } | undefined> {
      const keys = [keysOf(key)[0]!, tagsKeyOf(key)];
      const answer = await ask(callMs, () => client.getTagged(keys, [tags.prefix]));
      return answer && { since: String(answer[0]), entry: answer[1] && fromBytes(answer[1]) };
    },
    /**
     * Stores the entry, unless a newer version is known. Returns that version; 0 if there is none or no Redis; -1 if one of its
     * tags was dropped since its load began.
     */
    async fill(key: string, entry: SharedEntry, keepMs: number, tagged?: Tagged): Promise<number> {
      const more = tagged ? tags.filling(tagsKeyOf(key), tagged) : { keys: [], args: [] };
      const args = [String(entry.version), toBytes(entry), String(Math.ceil(keepMs)), ...more.args];
      return (await ask(callMs, () => client.fill([...keysOf(key), ...more.keys], args))) ?? 0;
    },
    invalidate: tell,
    dropTags: tags.drop,
    /**
     * Whether this process should load the view now: false if another one has begun to within a second. True while Redis fails.
     */
    async claim(key: string): Promise<boolean> {
      if (failures > 0) return true;
      const set = () =>
        client.set(claimKeyOf(key), '1', { condition: 'NX', expiration: { type: 'PX', value: claimMs } });
      return (await ask(callMs, set)) !== null;
    },
    /** Ends a claim. If it had ended and is another's now, that costs one more load. */
    async release(key: string): Promise<void> {
      if (failures === 0) await ask(callMs, () => client.unlink(claimKeyOf(key)));
    },
    /** Closes the connections. Never throws. */
    async stop(): Promise<void> {
      clearInterval(retry);
      for (const connection of [client, subscriber]) connection.destroy();
    },
  };
}

export type SharedTier = Awaited<ReturnType<typeof sharedTier>>;
