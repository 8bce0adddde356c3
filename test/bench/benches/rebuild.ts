/** The time of rebuilding a projection's views from a long log, also when the builder is killed. */

import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { ensureBuilt, rebuild as rebuildView } from '@caudal/projections/generations/rebuild.ts';
import { collectionOf, generationName } from '@caudal/projections/projector.ts';
import { countingEvents, mortal } from '@caudal/projections/testing/mortal.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import type { Document } from 'mongodb';
import { figureOf, ratioOf } from '../figures.ts';
import { takeTurns } from '../load.ts';
import { migrateLog, openLog } from '../log.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure } from '../types.ts';
import { type Contest, contests } from '../view-stores.ts';

const bench = 'rebuild';
const eventsAView = 5;
/** Streams that grow at the same time, as orders do: the events of a stream are near each other, but not adjacent. */
const atOnce = 64;
const bulk = 1_000;

async function fill(log: ReturnType<typeof openLog>['log'], views: number): Promise<void> {
  await forEachConcurrent(Array(views).keys(), atOnce, async (n) => {
    const productId = `P-${n}`;
    for (let version = 0; version < eventsAView; version++) {
      const events = [version === 0 ? created(productId) : restocked(version)];
      await log.append({ stream: streamOf(productId), expected: version, events });
    }
  });
}

const atMost = { kind: 'atMost', value: 1.1 } as const;
/** When the builder is killed. */
const killedAt = 0.7;
/** More than a lease lasts: the next builder's clock is ahead, so that the wait for it is not measured. */
const leaseMs = 10_000;

/**
 * Times of building a first generation: in parts, in one part, and by a builder that is killed and the next one, both
 * together; and how many events these two handled, of those that there are.
 */
async function buildings(
  contest: Contest,
  log: ReturnType<typeof openLog>['log'],
  options: { events: number; rounds: number; say(what: string): void },
) {
  const { events, rounds, say } = options;
  const again: number[] = [];
  let version = 1_000;
  /** A version of its own, so that nothing is replaced, and no switch waited for. */
  const next = (parts?: number) => {
    version += 1;
    const { projection, handled } = countingEvents({ ...stockDashboard, version });
    let filledIn = 0;
    const hooks = {
      bind: async () => {},
      // Without the views that are folded again for the check before the switch.
      filled: async () => {
        filledIn = handled();
      },
      release: async () => {},
    };
    const of = { projection, store: contest.store, logs: new Map([[log.domain, log]]), parts, ...hooks };
    return { of, handled: () => filledIn };
  };
  const timed = async (work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1_000;
  };
  const contenders = {
    whole: () => timed(() => ensureBuilt(next().of)),
    onePart: () => timed(() => ensureBuilt(next(1).of)),
    killed: () =>
      timed(async () => {
        const { of, handled } = next();
        const builder = mortal();
        const onProgress = ({ position = 0 }: { position?: number }) => {
          if (position >= killedAt * events) builder.kill();
        };
        void ensureBuilt({ ...builder.process(of), onProgress });
        await builder.died;
        await ensureBuilt(mortal().process(of, leaseMs));
        again.push(handled() / events);
      }),
  };
  return { ...(await takeTurns(contenders, { rounds, say })), again: again.slice(-rounds) };
}

/** As many documents as there are views, copied from some that the rebuild has written. */
function multiplied(sample: Document[], count: number): Document[] {
  const key = sample[0]!._id === undefined ? 'id' : '_id';
  return Array.from({ length: count }, (_, n) => ({ ...sample[n % sample.length]!, [key]: `P-${n}` }));
}

export const rebuild: Bench = {
  name: 'rebuild',
  title: 'Rebuilding a read model',
  compares: `A log of 1,000,000 events, ${eventsAView} per view, is read from its beginning and folded; the views are written, a sample is checked against the log, and queries are switched to the new views. Compared with bulk writes of as many such documents by the store's own client, ${bulk.toLocaleString('en')} at a time: the minimum for any rebuild. Then a first generation is built in four parts and in one, and by a builder that is killed at 70 % and the next one: \`killed-vs-whole\` is the time of both together, \`events-handled\` how many events they handled of those that there are.`,
  needs: ['postgres', 'mongodb', 'elasticsearch'],

  async run({ quick, say }) {
    const views = (quick ? 10_000 : 1_000_000) / eventsAView;
    const rounds = quick ? 1 : 3;
    const fresh = await freshDatabase();
    await migrateLog(fresh.url, 'inventory');
    const { log, close } = openLog({ url: fresh.url, schema: 'inventory', poolSize: 4 });
    const figures: Figure[] = [];
    try {
      say(`${(views * eventsAView).toLocaleString('en')} events`);
      await fill(log, views);
      for (const [name, open] of Object.entries(contests)) {
        const contest = await open();
        const rates = { rebuilt: [] as number[], raw: [] as number[] };
        const seconds: number[] = [];
        let built: Awaited<ReturnType<typeof buildings>>;
        try {
          for (let round = 1; round <= rounds; round++) {
            say(`${name}: round ${round} of ${rounds}`);
            const began = performance.now();
            const report = await rebuildView({
              projection: stockDashboard,
              store: contest.store,
              logs: new Map([[log.domain, log]]),
              bind: async () => {},
              filled: async () => {},
              release: async () => {},
              keepMs: 0,
            });
            const took = (performance.now() - began) / 1_000;
            if (report.events !== views * eventsAView || report.failedCount > 0)
              throw new Error(`${name}: not complete`);
            const sample = await contest.read(generationName(stockDashboard, report.generation), 10_000);
            const documents = multiplied(sample, views);
            const other = { projection: stockDashboard, store: contest.store, generation: 1_000 + round };
            await collectionOf(other).create();
            const raw = generationName(stockDashboard, other.generation);
            const rawBegan = performance.now();
            for (let n = 0; n < views; n += bulk) await contest.insert(raw, documents.slice(n, n + bulk));
            const rawTook = (performance.now() - rawBegan) / 1_000;
            seconds.push(took);
            rates.rebuilt.push(views / took);
            rates.raw.push(views / rawTook);
          }
          const tell = (what: string) => say(`${name}: ${what}`);
          built = await buildings(contest, log, { events: views * eventsAView, rounds: quick ? 1 : 2, say: tell });
        } finally {
          await contest.close();
        }
        figures.push(
          figureOf({ bench, metric: `${name}.seconds`, unit: 's' }, seconds),
          figureOf(
            { bench, metric: `${name}.events`, unit: '/s' },
            rates.rebuilt.map((rate) => rate * eventsAView),
          ),
          ratioOf({ bench, metric: `${name}.views-vs-raw` }, rates.rebuilt, rates.raw),
          ratioOf({ bench, metric: `${name}.parts-vs-one` }, built.onePart, built.whole),
          ratioOf({ bench, metric: `${name}.killed-vs-whole`, goal: atMost }, built.killed, built.whole),
          figureOf({ bench, metric: `${name}.events-handled`, unit: 'x', goal: atMost }, built.again),
        );
      }
    } finally {
      await close();
      await fresh.drop();
    }
    return figures;
  },
};
