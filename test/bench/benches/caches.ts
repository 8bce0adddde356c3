/** What each strategy of caches does under the same load, and a stampede. */
import { openCache } from '@caudal/cache/cache.ts';
import { jsonCodec } from '@caudal/cache/codec.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { randomFrom } from '@caudal/testing/random.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { openContender, openViewStore, type StrategyName, strategies, type ViewStore } from '../cached-store.ts';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { figureOf, percentile } from '../figures.ts';
import { takeTurns } from '../load.ts';
import type { Bench, Figure, Goal, Tools } from '../types.ts';

const bench = 'caches';
const keys = 10_000;
const perSecond = 2_000;
const writeShare = 0.05;
const tickMs = 5;
/** More in flight than this: the store does not keep up, and the figures would mean nothing. */
const maxInFlight = 5_000;
const stampedeReaders = 1_000;
const stampedeProcesses = 4;

const atMost = (value: number): Goal => ({ kind: 'atMost', value });
const goals: Record<string, Goal> = {
  'cache-aside.hits': { kind: 'atLeast', value: 50 },
  'write-through.hits': { kind: 'atLeast', value: 50 },
  'refresh-ahead.hits': { kind: 'atLeast', value: 50 },
  'write-back.hits': { kind: 'atLeast', value: 50 },
  'cache-aside.stale-p99': atMost(50),
  'write-through.stale-p99': atMost(50),
  'refresh-ahead.stale-p99': atMost(50),
  // What it gathers is seen once it is written.
  'write-back.stale-p99': atMost(1_500),
  'write-back.store-writes': atMost(60),
  'stampede.store-reads': atMost(2),
};

/** Numbers from 0 below `count`, of which the first ones come most often: the n-th with a chance of 1/n. */
function zipf(count: number, random: () => number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let n = 0; n < count; n++) sums[n] = sum += 1 / (n + 1);
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

interface Outcome {
  hits: number;
  storeReads: number;
  storeWrites: number;
  stale: number;
  staleP99: number;
  p99: number;
  cpu: number;
}

/** The load of some seconds, the same for each strategy. */
async function measure(strategy: StrategyName, store: ViewStore, seconds: number): Promise<Outcome> {
  await store.fill(keys);
  /** By key: when each version was written. */
  const writtenAt = new Map<string, number[]>();
  const contender = await openContender(strategy, store, (key, version) => {
    const times = writtenAt.get(key) ?? [];
    times[version] = performance.now();
    writtenAt.set(key, times);
  });
  const random = randomFrom(1);
  const next = zipf(keys, random);
  const staleness: number[] = [];
  const times: number[] = [];
  let [hits, inFlight, writes] = [0, 0, 0];
  let failure: { error: unknown } | undefined;

  async function read(key: string): Promise<void> {
    const began = performance.now();
    const { version, isHit } = await contender.read(key);
    times.push(performance.now() - began);
    if (isHit) hits++;
    const replacedAt = writtenAt.get(key)?.[version + 1];
    staleness.push(replacedAt !== undefined && replacedAt < began ? began - replacedAt : 0);
  }

  async function run(forSeconds: number): Promise<void> {
    const began = performance.now();
    const work = new Set<Promise<void>>();
    for (let sent = 0; sent < forSeconds * perSecond; ) {
      const due = Math.min(forSeconds * perSecond, Math.ceil(((performance.now() - began) / 1_000) * perSecond));
      for (; sent < due; sent++) {
        const key = `K-${next()}`;
        const isWrite = random() < writeShare;
        if (isWrite) writes++;
        if (++inFlight > maxInFlight) throw new Error(`${strategy}: more than ${maxInFlight} calls in flight`);
        const one: Promise<void> = (isWrite ? contender.write(key) : read(key))
          .catch((error: unknown) => {
            failure ??= { error };
          })
          .finally(() => {
            inFlight--;
            work.delete(one);
          });
        work.add(one);
      }
      await sleep(tickMs);
    }
    await Promise.all(work);
    if (failure) throw failure.error;
  }

  try {
    await run(2);
    Object.assign(store, { reads: 0, writes: 0 });
    staleness.length = 0;
    times.length = 0;
    [hits, writes] = [0, 0];
    const before = { own: process.cpuUsage(), others: cpuTimes() };
    await run(seconds);
    const own = process.cpuUsage(before.own);
    const { postgres, redis } = cpuUsed(before.others, cpuTimes());
    const reads = staleness.length;
    const operations = reads + writes;
    const sorted = Float64Array.from(staleness).sort();
    return {
      hits: (100 * hits) / reads,
      storeReads: (1_000 * store.reads) / reads,
      storeWrites: (100 * store.writes) / writes,
      stale: (100 * staleness.filter((ms) => ms > 0).length) / reads,
      staleP99: percentile(sorted, 0.99),
      p99: percentile(Float64Array.from(times).sort(), 0.99),
      cpu: ((own.user + own.system) / 1_000 + (postgres! + redis!) * 1_000) / (operations / 1_000),
    };
  } finally {
    await contender.stop();
  }
}

/** How often the store was read at most, when an entry ended that many wanted at once. */
async function stampede({ quick }: Tools): Promise<number> {
  const options = { redisUrl: serverUrl('redis'), namespace: `bench-${newId()}`, maxEntries: 10 };
  const caches = await Promise.all(Array.from({ length: stampedeProcesses }, () => openCache(options)));
  const codec = jsonCodec<number>({ toJSON: (value) => value, fromJSON: Number });
  const ttlMs = 300;
  let loads = 0;
  const load = async () => {
    loads++;
    await sleep(50);
    return { value: 1, version: 1 };
  };
  let most = 0;
  try {
    for (let time = 0; time < (quick ? 3 : 10); time++) {
      loads = 0;
      const readers = Array.from({ length: stampedeReaders }, (_, n) =>
        caches[n % stampedeProcesses]!.read({ key: 'hot', ttlMs, codec, load }),
      );
      await Promise.all(readers);
      most = Math.max(most, loads);
      await sleep(ttlMs + 50);
    }
  } finally {
    await Promise.all(caches.map((cache) => cache.stop()));
  }
  return most;
}

export const caches: Bench = {
  name: bench,
  title: 'Strategies of caches',
  compares: `${perSecond.toLocaleString('en')} operations a second on ${keys.toLocaleString('en')} views of 300 bytes in PostgreSQL, the same sequence for all: keys by Zipf (the n-th with a chance of 1/n), ${writeShare * 100} % of them writes. Reader and writer have a cache each, of 2,000 entries, with Redis between them; entries are good for 2 s. Compared with no cache. hits: reads of 100 that the store did not answer itself; store-reads: of 1,000 reads; store-writes: statements of 100 writes; stale: reads of 100 that got an older version than was written before they began; stale-p99: since when that version was not the last one, over all reads; cpu: processor time of this process, Redis and all PostgreSQL for 1,000 operations. Write-back gathers for 1 s. stampede: ${stampedeReaders.toLocaleString('en')} readers of ${stampedeProcesses} processes' caches want one entry that has ended, and a load takes 50 ms; the most reads of the store.`,
  needs: ['postgres', 'redis'],

  async run(tools) {
    const { quick, say } = tools;
    const store = await openViewStore();
    const seconds = quick ? 3 : 10;
    try {
      const contenders = Object.fromEntries(
        strategies.map((strategy) => [strategy, () => measure(strategy, store, seconds)]),
      ) as Record<StrategyName, () => Promise<Outcome>>;
      const measured = await takeTurns(contenders, { rounds: quick ? 1 : 3, say });
      const figures = strategies.flatMap((strategy): Figure[] => {
        const of = (what: string, unit: string, value: keyof Outcome) => {
          const metric = `${strategy}.${what}`;
          return figureOf(
            { bench, metric, unit, goal: goals[metric] },
            measured[strategy].map((each) => each[value]),
          );
        };
        return [
          of('hits', '%', 'hits'),
          of('store-reads', '/1,000 reads', 'storeReads'),
          of('store-writes', '/100 writes', 'storeWrites'),
          of('stale', '%', 'stale'),
          of('stale-p99', 'ms', 'staleP99'),
          of('p99', 'ms', 'p99'),
          of('cpu', 'ms', 'cpu'),
        ];
      });
      const most: number[] = [];
      for (let round = 1; round <= (quick ? 1 : 3); round++) {
        say(`stampede: round ${round}`);
        most.push(await stampede(tools));
      }
      const metric = 'stampede.store-reads';
      return [...figures, figureOf({ bench, metric, unit: 'reads', goal: goals[metric] }, most)];
    } finally {
      await store.close();
    }
  },
};
