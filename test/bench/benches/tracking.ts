/** Taking traces in and writing them, a burst, how soon a page shows them, and whether a large store is as fast as an empty one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { testBroker } from '@caudal/messaging/testing/rabbit.ts';
import { testCall } from '@caudal/testing/call.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { figureOf, percentile, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { startRuntime } from '../runtime.ts';
import { type Burst, offerBurst } from '../tracking/burst.ts';
import { readPages, untilVisible } from '../tracking/pages.ts';
import { openTraceStore, type TraceStore } from '../tracking/store.ts';
import { carrier, ofParcel, ordered, tracesOf, twiceShuffled } from '../tracking/traces.ts';
import type { Bench, Figure, Goal, Tools } from '../types.ts';

const bench = 'tracking';
const burstPerSecond = 20_000;
const visiblePerSecond = 1_000;
const readers = 8;
/** Parcels whose pages are read, among those of the large store. */
const knownParcels = 10_000;

const atLeast = (value: number): Goal => ({ kind: 'atLeast', value });
const atMost = (value: number): Goal => ({ kind: 'atMost', value });
const goals: Record<string, Goal> = {
  written: atLeast(10_000),
  'written.vs-copy': atLeast(0.5),
  'written.rabbitmq': atLeast(5_000),
  'duplicates.vs-ordered': atLeast(0.7),
  'duplicates.other-parcels': atMost(0),
  'burst.p99': atMost(100),
  'burst.written': atLeast(10_000),
  'burst.unanswered': atMost(0),
  'burst.lost': atMost(0),
  'burst.twice': atMost(0),
  'visible.p99': atMost(250),
  'page.few.vs-echo': atLeast(0.8),
  'page.many.vs-echo': atLeast(0.4),
  'large.write.vs-empty': atLeast(0.9),
  'large.page.vs-empty': atLeast(0.9),
};

const figure = (metric: string, unit: string, values: number[]): Figure =>
  figureOf({ bench, metric, unit, goal: goals[metric] }, values);
const ratio = (metric: string, of: number[], by: number[]): Figure =>
  ratioOf({ bench, metric, goal: goals[metric] }, of, by);

/** Queue and worker in this process, on an embedded PostgreSQL. */
async function measureWriting({ quick, say }: Tools): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-bench-'));
  const postgres = await startEmbeddedPostgres(folder);
  const rabbit = testBroker();
  rabbit.owns(['tracking.traces.work'], []);
  const count = quick ? 8_000 : 100_000;
  const once = ordered(count);
  const twice = twiceShuffled(once);
  let store: TraceStore | undefined;
  try {
    store = await openTraceStore({ url: postgres.url, broker: rabbit.broker });
    const { empty, write, copy, parcels } = store;
    const found: Record<'ordered' | 'twice', Map<string, string>> = { ordered: new Map(), twice: new Map() };
    const writeAnew = async (name: 'ordered' | 'twice', bodies: readonly Uint8Array[]) => {
      await empty();
      const rate = await write(bodies);
      found[name] = await parcels();
      return rate;
    };
    const measured = await takeTurns(
      {
        inbox: () => write(tracesOf(count).bodies),
        rabbitmq: () => write(tracesOf(count).bodies, 'rabbitmq'),
        copy: () => copy(tracesOf(count).bodies),
        ordered: () => writeAnew('ordered', once),
        twice: () => writeAnew('twice', twice),
      },
      { rounds: quick ? 1 : 5, say },
    );
    const names = new Set([...found.ordered.keys(), ...found.twice.keys()]);
    const others = [...names].filter((parcel) => found.ordered.get(parcel) !== found.twice.get(parcel)).length;
    return [
      figure('written', '/s', measured.inbox),
      figure('written.rabbitmq', '/s', measured.rabbitmq),
      figure('copy', '/s', measured.copy),
      ratio('written.vs-copy', measured.inbox, measured.copy),
      figure('ordered', '/s', measured.ordered),
      figure('duplicates', '/s', measured.twice),
      ratio('duplicates.vs-ordered', measured.twice, measured.ordered),
      figure('duplicates.other-parcels', 'parcels', [others]),
    ];
  } finally {
    await store?.close();
    await rabbit.close();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A real process with all that tracking has, and PostgreSQL. */
async function measureService({ quick, say }: Tools): Promise<Figure[]> {
  const rounds = quick ? 1 : 3;
  const runtime = await startRuntime({
    CAUDAL_ROLES: 'command,query,worker',
    CAUDAL_CONTEXTS: 'tracking',
    TRACKING_QUEUE_TRACES: '300000',
  });
  try {
    const bursts: Burst[] = [];
    for (let round = 1; round <= rounds; round++) {
      say(`burst: round ${round} of ${rounds}`);
      const load = { count: quick ? 40_000 : 500_000, perSecond: burstPerSecond, name: `BURST${round}x` };
      bursts.push(await offerBurst(runtime, load));
    }
    const visible: Float64Array[] = [];
    for (let round = 1; round <= rounds; round++) {
      say(`visible: round ${round} of ${rounds}`);
      const load = { perSecond: visiblePerSecond, seconds: quick ? 5 : 15, name: `SEEN${round}x` };
      visible.push(await untilVisible(runtime, load));
    }
    const pages = await readPages(runtime, {
      ...{ many: 30_000, seconds: quick ? 1 : 4, rounds: quick ? 1 : 5 },
      say: (what) => say(`pages: ${what}`),
    });
    const ofBurst = (of: keyof Burst, unit: string) =>
      figure(
        `burst.${of}`,
        unit,
        bursts.map((each) => each[of]),
      );
    const rates = (name: keyof typeof pages) => pages[name].map(({ rate }) => rate);
    return [
      ofBurst('p99', 'ms'),
      ofBurst('accepted', 'traces'),
      ofBurst('refused', 'traces'),
      ofBurst('unanswered', 'traces'),
      ofBurst('written', '/s'),
      ofBurst('lost', 'traces'),
      ofBurst('twice', 'traces'),
      figure(
        'visible.p50',
        'ms',
        visible.map((times) => percentile(times, 0.5)),
      ),
      figure(
        'visible.p99',
        'ms',
        visible.map((times) => percentile(times, 0.99)),
      ),
      figure('page.few', '/s', rates('few')),
      figure('page.many', '/s', rates('many')),
      figure('page.echo', '/s', rates('echo')),
      ratio('page.few.vs-echo', rates('few'), rates('echo')),
      ratio('page.many.vs-echo', rates('many'), rates('echo')),
    ];
  } finally {
    await runtime.stop();
  }
}

const largeCount = ({ quick, long }: Tools) => (quick ? 200_000 : long ? 100_000_000 : 2_000_000);

/** The same stores, one empty and one with many traces in 24 partitions. */
async function measureLarge(tools: Tools): Promise<Figure[]> {
  const { quick, say } = tools;
  const databases = [await freshDatabase(), await freshDatabase()] as const;
  const stores: TraceStore[] = [];
  try {
    for (const { url } of databases) stores.push(await openTraceStore({ url }));
    const [empty, large] = stores as [TraceStore, TraceStore];
    const { bodies, numbers } = tracesOf(knownParcels * ofParcel);
    for (const store of stores) await store.write(bodies);
    await large.fill(largeCount(tools), say);
    const count = quick ? 8_000 : 50_000;
    let asked = 0;
    const read =
      ({ queries }: TraceStore) =>
      async () => {
        const work = () => {
          const trackingNumber = numbers[(++asked * 7_919) % numbers.length]!;
          return queries.getParcel({ carrier, trackingNumber, readMask: undefined }, testCall());
        };
        const { rate } = await closedLoop({ clients: readers, seconds: quick ? 1 : 3, work });
        return rate;
      };
    const measured = await takeTurns(
      {
        'write.empty': () => empty.write(tracesOf(count).bodies),
        'write.large': () => large.write(tracesOf(count).bodies),
        'page.empty': read(empty),
        'page.large': read(large),
      },
      { rounds: quick ? 1 : 5, say: (what) => say(`large store: ${what}`) },
    );
    return [
      figure('large.traces', 'traces', [largeCount(tools)]),
      figure('large.write', '/s', measured['write.large']),
      ratio('large.write.vs-empty', measured['write.large'], measured['write.empty']),
      figure('large.page', '/s', measured['page.large']),
      ratio('large.page.vs-empty', measured['page.large'], measured['page.empty']),
    ];
  } finally {
    for (const store of stores) await store.close();
    for (const database of databases) await database.drop();
  }
}

export const tracking: Bench = {
  name: bench,
  title: 'Traces of parcels',
  compares: `Traces of ${ofParcel} a parcel. written: they are put by four callers, 1,000 a call, into the inbox of an embedded PostgreSQL, and a worker in the same process writes them with their parcels; the clock stops after the last commit; through RabbitMQ the same with a quorum queue and confirms. Compared with the same bytes by one COPY into a table without an index. duplicates: traces over seven days, each twice and in any order, compared with each once in the order in which they happened; other-parcels: rows of parcels that differ afterwards in any byte. burst: 500,000 different traces offered at ${burstPerSecond.toLocaleString('en')} a second to a real process through REST, 100 a call; p99 of the calls answered with 202; what is answered with 429 is refused; unanswered is all else; written: accepted ones a second until the inbox is empty again. visible: at ${visiblePerSecond.toLocaleString('en')} a second, from the call until GetParcel shows the trace, for one of fifty. page: GetParcel through REST of 10 and of 30,000 parcels, compared with a bare HTTP server that answers with as many bytes; nothing of it is cached. large: a store with old traces in 24 partitions (2,000,000; with --long 100,000,000), compared with one that has none but those that are written here. Search by place is not measured.`,
  needs: ['postgres', 'rabbitmq'],

  async run(tools) {
    return [...(await measureWriting(tools)), ...(await measureService(tools)), ...(await measureLarge(tools))];
  },
};
